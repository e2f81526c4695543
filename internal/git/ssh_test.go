package git_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestCloneWithADeployKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	s := newSSH(t, w.server)
	// Web forms and JSON editors do this to a key.
	for name, key := range map[string]string{
		"as it is": s.private, "without the last newline": strings.TrimSpace(s.private),
		"with the line ends of Windows": "\r\n" + strings.ReplaceAll(s.private, "\n", "\r\n"),
	} {
		got, err := w.client(git.Options{GitHubSSHURL: s.URL, KnownHosts: s.hosts}).
			Clone(t.Context(), source(key), filepath.Join(t.TempDir(), "s"), w.log)
		if err != nil || got.Commit != w.commit {
			t.Errorf("Clone with a key %s = %+v, %v, want commit %s", name, got, err, w.commit)
		}
	}
	if want := "git-upload-pack '/acme/api.git'\n"; !strings.Contains(s.Commands(), want) {
		t.Errorf("commands = %q, want %q among them", s.Commands(), want)
	}
}

func TestWhatGoesWrongWithADeployKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.put("acme/other", plain(nil))
	s := newSSH(t, w.server)
	stranger, _ := newKey(t, "")
	locked, _ := newKey(t, "a passphrase")
	_, changed := newKey(t, "")
	address := strings.TrimPrefix(s.URL, s.URL[:strings.IndexByte(s.URL, '@')+1])
	host, _, _ := strings.Cut(s.HostKey, " ")
	legacy := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("x")}))
	garbage := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("no key")}))
	closed := strings.Replace(s.URL, address, unused(t), 1)
	for name, row := range map[string]struct {
		change func(*git.Options, *tasks.Source)
		reason tasks.Reason
		words  string
	}{
		"unknown host key": {
			func(o *git.Options, _ *tasks.Source) { o.KnownHosts = "" }, tasks.ReasonGitHostUntrusted,
			"clone acme/api@main: the SSH host key of " + address + " is not known; put it into the file of DISPATCHD_GIT_KNOWN_HOSTS",
		},
		"changed host key": {
			func(o *git.Options, _ *tasks.Source) { o.KnownHosts = writeHosts(t, host+" "+changed) }, tasks.ReasonGitHostUntrusted,
			address + " shows another SSH host key than the known one",
		},
		"revoked host key": {func(o *git.Options, _ *tasks.Source) {
			o.KnownHosts = writeHosts(t, s.HostKey+"\n@revoked "+s.HostKey)
		}, tasks.ReasonGitHostUntrusted, "SSH host key"},
		"hosts file missing": {func(o *git.Options, _ *tasks.Source) { o.KnownHosts = "/nonexistent/hosts" }, tasks.ReasonInternal, "DISPATCHD_GIT_KNOWN_HOSTS cannot be read"},
		"key of a stranger":  {func(_ *git.Options, f *tasks.Source) { f.Token = tasks.Secret(stranger) }, tasks.ReasonGitAuth, address + " refused the deploy key"},
		"passphrase":         {func(_ *git.Options, f *tasks.Source) { f.Token = tasks.Secret(locked) }, tasks.ReasonGitAuth, "protected by a passphrase"},
		"passphrase, old":    {func(_ *git.Options, f *tasks.Source) { f.Token = tasks.Secret(legacy) }, tasks.ReasonGitAuth, "protected by a passphrase"},
		"half a key":         {func(_ *git.Options, f *tasks.Source) { f.Token = tasks.Secret(s.private[:200]) }, tasks.ReasonGitAuth, "not a whole private key"},
		"public half": {func(_ *git.Options, f *tasks.Source) {
			f.Token = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
		}, tasks.ReasonGitAuth, "not a whole private key"},
		"no key in the key": {func(_ *git.Options, f *tasks.Source) { f.Token = tasks.Secret(garbage) }, tasks.ReasonGitAuth, "deploy key"},
		"other repository":  {func(_ *git.Options, f *tasks.Source) { f.Repository = "acme/other" }, tasks.ReasonGitNotFound, "repository does not exist, or the deploy key may not see it"},
		"unknown branch":    {func(_ *git.Options, f *tasks.Source) { f.Branch = "none" }, tasks.ReasonGitRefNotFound, "clone acme/api@none: branch not found"},
		"nobody listens":    {func(o *git.Options, _ *tasks.Source) { o.GitHubSSHURL = closed }, tasks.ReasonGitUnavailable, "does not accept connections"},
		"no such name":      {func(o *git.Options, _ *tasks.Source) { o.GitHubSSHURL = "ssh://git@nowhere.invalid" }, tasks.ReasonGitUnavailable, "the name nowhere.invalid cannot be resolved"},
		"no ssh":            {func(o *git.Options, _ *tasks.Source) { o.SSH = "/nonexistent/ssh" }, tasks.ReasonGitUnavailable, "this worker has no ssh program"},
		"port that is no ssh": {func(o *git.Options, _ *tasks.Source) {
			o.GitHubSSHURL = "ssh://git@" + strings.TrimPrefix(w.url, "http://")
		}, tasks.ReasonGitUnavailable, "broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			options, from := git.Options{GitHubSSHURL: s.URL, KnownHosts: s.hosts}, source(s.private)
			row.change(&options, &from)
			_, err := w.clone(options, from)
			w.wantFailure(err, row.reason, row.words)
			if strings.Contains(err.Error()+w.log.String(), "PRIVATE KEY") {
				t.Errorf("the key stands in the log or in %q", err)
			}
		})
	}
}

func unused(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// half passes on so many bytes of what a server says, and then goes silent.
func half(t *testing.T, server string, bytes int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, err := listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		passed := make(chan struct{})
		go func() { defer close(passed); _, _ = io.CopyN(in, out, bytes) }()
		_, _ = io.Copy(out, in)
		_ = out.Close()
		<-passed
		_ = in.Close()
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

func TestDeployKeyIsInMemoryAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(map[string]string{"noise": noise(1 << 20)}), nil)
	s := newSSH(t, w.server)
	server := s.URL[strings.IndexByte(s.URL, '@')+1:]
	proxy := half(t, server, 500_000)
	_, key, _ := strings.Cut(s.HostKey, " ")
	hosts := writeHosts(t, "["+strings.Replace(proxy, ":", "]:", 1)+" "+key)
	client := w.client(git.Options{GitHubSSHURL: strings.Replace(s.URL, server, proxy, 1), KnownHosts: hosts})
	ctx, end := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := client.Clone(ctx, source(s.private), w.dir, w.log)
		done <- err
	}()
	eventually(t.Context(), t, "a pack being written", func() bool {
		packs, _ := filepath.Glob(filepath.Join(w.dir, ".git/objects/pack/tmp_pack_*"))
		return len(packs) > 0
	})
	if !isOpen(s.private) {
		t.Error("the deploy key is not in memory, so this test sees nothing")
	}
	group, ssh := groupsOf(w.processes()), 0
	secret := strings.Split(s.private, "\n")[2]
	for _, p := range processes() {
		if len(group) == 0 || p.group != group[0] {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", p.id, "environ"))
		if strings.Contains(p.arguments, secret) || bytes.Contains(environ, []byte(secret)) {
			t.Errorf("the key stands in the arguments or the environment of process %s", p.id)
		}
		if strings.Contains(p.arguments, "StrictHostKeyChecking=yes") {
			ssh++
		}
	}
	if ssh != 1 {
		t.Errorf("found %d ssh processes in groups %v, want one: this test saw nothing", ssh, group)
	}
	wantNoSecret(t, w.work, []string{secret})
	began := time.Now()
	end(tasks.ErrCancelled)
	err, open := <-done, isOpen(s.private)
	if took := time.Since(began); !errors.Is(err, tasks.ErrCancelled) || took > 2*time.Second {
		t.Errorf("Clone = %v after %s, want the cause at once", err, took)
	}
	// The collector would close it, some time.
	if open {
		t.Error("the deploy key is still in memory")
	}
	for _, p := range processes() {
		if len(group) > 0 && p.group == group[0] && p.state != "Z" {
			t.Errorf("process %s of the clone is still there in state %s", p.id, p.state)
		}
	}
	wantOnlyNothing(t, w.work)
}

// isOpen reports whether this process has a file in memory open that holds the key.
func isOpen(key string) bool {
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, file := range files {
		if to, err := os.Readlink(file); err != nil || !strings.Contains(to, "memfd:deploy-key") {
			continue
		}
		if content, err := os.ReadFile(file); err == nil && string(content) == key {
			return true
		}
	}
	return false
}

func TestSSHAddresses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ base, ssh, want string }{
		{"https://git.example", "", "ssh://git@git.example/acme/api.git"},
		{"https://git.example:8443/scm", "", "ssh://git@git.example/acme/api.git"},
		{"https://[::1]:8443", "", "ssh://git@[::1]/acme/api.git"},
		{"https://git.example", "ssh://ssh.git.example:7999", "ssh://git@ssh.git.example:7999/acme/api.git"},
		{"https://git.example", "ssh://me@git.example:22/base/", "ssh://me@git.example:22/base/acme/api.git"},
	} {
		key, _ := newKey(t, "")
		c, err := git.New(git.Options{GitHubURL: row.base, GitHubSSHURL: row.ssh, Environ: []string{"PATH=/bin"}})
		if err != nil {
			t.Fatal(err)
		}
		args, env, err := c.Command(source(key), "/srv/source")
		if err != nil {
			t.Fatal(err)
		}
		if got := args[len(args)-2]; got != row.want {
			t.Errorf("address for %s and %q = %s, want %s", row.base, row.ssh, got, row.want)
		}
		text := strings.Join(env, "\n")
		if !strings.Contains(text, "GIT_ALLOW_PROTOCOL=ssh\n") || !strings.Contains(text, "=protocol.ssh.allow") || strings.Contains(text, "Authorization") {
			t.Errorf("environment = %s, want SSH alone and no header", text)
		}
	}
	for _, bad := range []string{"https://git.example", "ssh://", "ssh://u:p@git.example", "ssh://-o@git.example", "ssh://git.example?x", "ssh://git.example/../x", "ssh://-oX/y", "git@git.example:x"} {
		if _, err := git.New(git.Options{GitHubSSHURL: bad}); err == nil || !strings.Contains(err.Error(), "GitHubSSHURL") {
			t.Errorf("New(%q) = %v, want an error that names GitHubSSHURL", bad, err)
		}
	}
}

func TestPublishedHostKeys(t *testing.T) {
	t.Parallel()
	// As the three providers' own pages have them.
	want := map[string]string{
		"github.com ssh-ed25519": "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU", "github.com ecdsa-sha2-nistp256": "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
		"github.com ssh-rsa": "uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s", "gitlab.com ssh-ed25519": "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
		"gitlab.com ecdsa-sha2-nistp256": "HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw", "gitlab.com ssh-rsa": "ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
		"bitbucket.org ssh-ed25519": "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM", "bitbucket.org ecdsa-sha2-nistp256": "FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
		"bitbucket.org ssh-rsa": "46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E",
	}
	if got := fingerprints(t, git.PublicHosts()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("fingerprints = %v, want %v", got, want)
	}
}
