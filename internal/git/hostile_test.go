package git_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const someCommit = "1111111111111111111111111111111111111111"

func TestHostileRepositoryIsInert(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	script := "#!/bin/sh\ntouch " + canary + "\n"
	w := newWorld(t, gittest.Commit{
		Message: "Hello\x1b[31m \x07world",
		Files: map[string]string{
			".gitattributes":          "* filter=evil diff=evil merge=evil\n*.bin filter=lfs\n",
			".lfsconfig":              "[lfs]\n\turl = http://127.0.0.1:1/\n",
			".githooks/post-checkout": script,
			"hooks/post-checkout":     script,
			"large.bin":               "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
			".gitmodules": "[submodule \"a\"]\n\tpath = a\n\turl = file:///etc\n" +
				"[submodule \"b\"]\n\tpath = b\n\turl = ext::sh -c 'touch " + canary + "'\n" +
				"[submodule \"c\"]\n\tpath = c\n\turl = http://127.0.0.1:1/x.git\n",
		},
		Links: map[string]string{"outside": "/etc/passwd", "up": "../../.."},
	}, nil)
	environ := hostileHome(t, canary)
	got, err := w.clone(git.Options{Environ: environ}, source(""))
	if err != nil {
		t.Fatal(err)
	}
	if want := "Hello[31m world"; got.Subject != want {
		t.Errorf("subject = %q, want %q", got.Subject, want)
	}
	if _, err := os.Lstat(canary); err == nil {
		t.Error("something of the repository or of the home directory was run")
	}
	want := []string{
		".gitattributes", ".githooks", ".githooks/post-checkout", ".gitmodules", ".lfsconfig",
		"hooks", "hooks/post-checkout", "large.bin", "outside", "up",
	}
	if diff := cmp.Diff(want, tree(t, w.dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for link, to := range map[string]string{"outside": "/etc/passwd", "up": "../../.."} {
		if got, err := os.Readlink(filepath.Join(w.dir, link)); err != nil || got != to {
			t.Errorf("Readlink(%s) = %q, %v, want %q", link, got, err, to)
		}
	}
}

// hostileHome returns an environment in which every door of git's that a user
// or the machine has is open, with something behind it.
func hostileHome(t *testing.T, canary string) []string {
	t.Helper()
	home := t.TempDir()
	script := filepath.Join(home, "evil.sh")
	config := "[filter \"evil\"]\n\tsmudge = " + script + "\n\trequired = true\n" +
		"[core]\n\thooksPath = " + home + "\n\tfsmonitor = " + script + "\n\tsshCommand = " + script + "\n" +
		"[credential]\n\thelper = " + script + "\n" +
		"[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = http://127.0.0.1:\n"
	files := map[string]string{
		".gitconfig": config, ".config/git/config": config,
		"evil.sh":       "#!/bin/sh\ntouch " + canary + "\ncat\n",
		"post-checkout": "#!/bin/sh\ntouch " + canary + "\n",
		".netrc":        "machine 127.0.0.1 login " + user + " password " + planted + "\n",
	}
	for name, content := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"GIT_CONFIG_GLOBAL=" + filepath.Join(home, ".gitconfig"), "GIT_CONFIG_SYSTEM=" + filepath.Join(home, ".gitconfig"),
		"GIT_ASKPASS=" + script, "SSH_ASKPASS=" + script, "GIT_TEMPLATE_DIR=" + home, "GIT_TRACE=" + canary,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.hooksPath", "GIT_CONFIG_VALUE_0=" + home, "GIT_DIR=" + home,
		"NATS_CLIENT_PRIVATE_KEY=SUsecret", "NOMAD_TOKEN=secret", "REGISTRY_PASSWORD=secret",
	}
}

// TestSubmoduleThatLeadsIntoGitDirectory is CVE-2024-32002: on a file system
// that takes A for a, the submodule's files would land in .git.
func TestSubmoduleThatLeadsIntoGitDirectory(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	script := "#!/bin/sh\ntouch " + canary + "\n"
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", plain(map[string]string{"y/hooks/post-checkout": script, "hooks/post-checkout": script, ".githooks/x": script}))
	c := withModules(entry("x/y", "A/modules/x", "../lib"), map[string]string{"A/modules/x": lib})
	c.Links = map[string]string{"a": ".git"}
	w.put("acme/api", c)
	if _, err := w.clone(git.Options{Environ: hostileHome(t, canary)}, source("")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(canary); err == nil {
		t.Error("a hook of the submodule was run")
	}
	if _, err := os.Stat(filepath.Join(w.dir, "A/modules/x/y/hooks/post-checkout")); err != nil {
		t.Errorf("the submodule's files are not where its path says: %v", err)
	}
	wantOnly(t, w.work, "source")
}

// TestSubmodulePathWithACarriageReturn is CVE-2025-48384: a link leads where
// the path without its last character is.
func TestSubmodulePathWithACarriageReturn(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", plain(map[string]string{"post-checkout": "#!/bin/sh\ntouch " + canary + "\n"}))
	c := withModules(entry("x", "\"sub\r\"", "../lib"), map[string]string{"sub\r": lib})
	c.Links = map[string]string{"sub": ".git/modules/x/hooks"}
	w.put("acme/api", c)
	_, err := w.clone(git.Options{}, source(""))
	w.wantFailure(err, tasks.ReasonGitRejected, "submodule sub: its path holds what is not allowed")
	if _, err := os.Lstat(canary); err == nil {
		t.Error("a hook of the submodule was run")
	}
}

func TestAttributesOfASubmoduleAreInert(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", plain(map[string]string{".gitattributes": "* filter=evil\n", "f": "text", ".gitconfig": "[core]\n\tfsmonitor = touch " + canary}))
	w.put("acme/api", withModules(entry("x", "x", "../lib"), map[string]string{"x": lib}))
	if _, err := w.clone(git.Options{Environ: hostileHome(t, canary)}, source("")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(canary); err == nil {
		t.Error("a filter was run for the submodule's files")
	}
}

func TestNetrcIsNotRead(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	_, err := w.clone(git.Options{Environ: hostileHome(t, canary)}, source(""))
	w.wantFailure(err, tasks.ReasonGitAuth, "it needs a token")
	if _, err := os.Lstat(canary); err == nil {
		t.Error("a program of the home directory was asked for the password")
	}
}

func TestChildEnvironment(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://git.example:8080", git.Options{Environ: hostileHome(t, "/nowhere")})
	args, env, err := c.Command(source(planted), "/srv/source")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	settings := map[string]string{}
	for i, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(name, "GIT_CONFIG_KEY_"):
			_, settings[value], _ = strings.Cut(env[i+1], "=")
		case !strings.HasPrefix(name, "GIT_CONFIG_VALUE_"):
			names = append(names, name)
		}
	}
	want := []string{
		"PATH", "HOME", "LANG", "GIT_CEILING_DIRECTORIES", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_ATTR_NOSYSTEM",
		"GIT_ALLOW_PROTOCOL", "GIT_TERMINAL_PROMPT", "GIT_ASKPASS", "GIT_LFS_SKIP_SMUDGE", "GIT_CONFIG_COUNT",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("environment of git (-want +got):\n%s", diff)
	}
	header := settings["http.http://git.example:8080/.extraHeader"]
	if !strings.HasPrefix(header, "Authorization: Basic ") {
		t.Errorf("settings = %v, want a header for the provider's host and port alone", settings)
	}
	for key, value := range map[string]string{"http.followRedirects": "false", "protocol.allow": "never", "protocol.http.allow": "always"} {
		if settings[key] != value {
			t.Errorf("%s = %q, want %q", key, settings[key], value)
		}
	}
	wantArgs := []string{
		"clone", "--progress", "--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules", "--template=",
		"--branch=main", "--", "http://git.example:8080/acme/api.git", "/srv/source",
	}
	if diff := cmp.Diff(wantArgs, args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestAddressesThatTheServerAdvertisesAreNotVisited(t *testing.T) {
	t.Parallel()
	needsBundleURIs(t)
	var visits atomic.Int32
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		http.NotFound(w, r)
	}))
	w := newWorld(t, plain(nil), nil)
	if err := w.server.Configure(t.Context(), "acme/api", map[string]string{
		"uploadpack.advertiseBundleURIs": "true",
		"bundle.version":                 "1",
		"bundle.mode":                    "all",
		"bundle.one.uri":                 other.URL + "/one.bundle",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.clone(git.Options{}, source("")); err != nil {
		t.Fatal(err)
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("the advertised address was visited %d times, want never", n)
	}
}

func TestBrokenObjectsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gittest.Commit{Message: "m", Files: map[string]string{
		".gitmodules": "[submodule \"x\"]\n\tpath = x\n\turl = -u./payload\n",
	}}, nil)
	_, err := w.clone(git.Options{}, source(""))
	w.wantFailure(err, tasks.ReasonGitRejected, "holds objects that git refuses")
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(map[string]string{strings.Repeat("n", 300): "x"}), nil)
	_, err := w.clone(git.Options{}, source(""))
	w.wantFailure(err, tasks.ReasonSourceInvalid, "the repository's files cannot be written to disk")
}

// needsBundleURIs skips where git does not know the advertisement, so that the
// test could not fail.
func needsBundleURIs(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "version").Output()
	var major, minor int
	if _, scanErr := fmt.Sscanf(string(out), "git version %d.%d", &major, &minor); err != nil || scanErr != nil {
		t.Skipf("needs git: %v", errors.Join(err, scanErr))
	}
	if major < 2 || (major == 2 && minor < 40) {
		t.Skipf("needs git 2.40, which follows advertised bundles; this is %d.%d", major, minor)
	}
}
