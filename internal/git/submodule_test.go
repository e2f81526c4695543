package git_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// entry writes one entry of .gitmodules.
func entry(name, path, url string) string {
	return fmt.Sprintf("[submodule %q]\n\tpath = %s\n\turl = %s\n", name, path, url)
}

// withModules is a commit whose .gitmodules and tree name submodules.
func withModules(text string, modules map[string]string) gittest.Commit {
	return gittest.Commit{Message: "m", Files: map[string]string{".gitmodules": text, "own": "own\n"}, Modules: modules}
}

func TestSubmodulesOfTheSameHostGetTheSameCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", plain(map[string]string{"lib.c": "lib\n"}))
	w.server.Allow("acme/lib", user, planted)
	w.server.Allow("acme/api", user, planted)
	s := newSSH(t, w.server)
	for credential, rows := range map[string]map[string]string{
		"token":      {"relative": "../lib.git", "https": w.url + "/acme/lib.git", "https, short": w.url + "/acme/lib", "ssh": "ssh://git@127.0.0.1/acme/lib.git", "ssh, short form": "git@127.0.0.1:acme/lib.git"},
		"deploy key": {"relative": "../lib.git", "https": w.url + "/acme/lib.git", "ssh": s.URL + "/acme/lib.git", "ssh, short form": "git@127.0.0.1:acme/lib.git"},
	} {
		for name, url := range rows {
			t.Run(credential+", "+name, func(t *testing.T) {
				w.put("acme/api", withModules(entry("lib", "vendor/lib", url), map[string]string{"vendor/lib": lib}))
				from, options := source(planted), git.Options{GitHubSSHURL: s.URL, KnownHosts: s.hosts}
				if credential == "deploy key" {
					from = source(s.private)
				}
				dir := filepath.Join(t.TempDir(), "s")
				if _, err := w.client(options).Clone(t.Context(), from, dir, w.log); err != nil {
					t.Fatal(err)
				}
				want := []string{".gitmodules", "own", "vendor", "vendor/lib", "vendor/lib/lib.c"}
				if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			})
		}
	}
	if n := strings.Count(s.Commands(), "git-upload-pack '/acme/lib.git'"); n != 4 {
		t.Errorf("the submodule was fetched over SSH %d times, want 4:\n%s", n, s.Commands())
	}
}

// elsewhere serves repositories on another host over TLS, and keeps what it
// was sent as authorization.
type elsewhere struct {
	*gittest.Server
	host, ca string

	mu   sync.Mutex
	seen []string
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	server, err := gittest.NewServer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{Server: server, ca: filepath.Join(t.TempDir(), "ca.pem")}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.seen = append(e.seen, r.Header.Get("Authorization"))
		e.mu.Unlock()
		if name, rest, found := strings.Cut(r.URL.Path, "/info/refs"); found && !strings.HasSuffix(name, ".git") {
			http.Redirect(w, r, name+".git/info/refs"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		server.ServeHTTP(w, r)
	}))
	web.Config.ErrorLog = quiet()
	web.StartTLS()
	t.Cleanup(web.Close)
	e.host = strings.TrimPrefix(web.URL, "https://")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(e.ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// authorizations returns what the host was sent, one for each request.
func (e *elsewhere) authorizations() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string{}, e.seen...)
}

func (e *elsewhere) options() git.Options {
	return git.Options{Environ: []string{"PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + e.ca}}
}

func TestSubmoduleOnAnotherHostGetsNoCredential(t *testing.T) {
	t.Parallel()
	other := newElsewhere(t)
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	at := &world{t: t, server: other.Server}
	inner := at.put("them/inner", plain(map[string]string{"inner": ""}))
	lib := at.put("them/lib", withModules(entry("i", "i", "../inner.git"), map[string]string{"i": inner}))
	w.put("acme/api", withModules(entry("x", "vendor/x", "https://"+other.host+"/them/lib.git"), map[string]string{"vendor/x": lib}))
	if _, err := w.clone(other.options(), source(planted)); err != nil {
		t.Fatal(err)
	}
	want := []string{".gitmodules", "own", "vendor", "vendor/x", "vendor/x/.gitmodules", "vendor/x/i", "vendor/x/i/inner", "vendor/x/own"}
	if diff := cmp.Diff(want, tree(t, w.dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	other.Allow("them/inner", user, planted)
	_, err := w.client(other.options()).Clone(t.Context(), source(planted), filepath.Join(t.TempDir(), "s"), w.log)
	wantFailure(t, err, tasks.ReasonGitAuth,
		"clone acme/api@main: submodule vendor/x/i is at "+other.host+", which gets no credential: repository does not exist, or it is private")
	seen := other.authorizations()
	if len(seen) < 5 {
		t.Errorf("the other host saw %d requests, so this test saw nothing", len(seen))
	}
	for _, header := range seen {
		if header != "" {
			t.Errorf("the other host was sent %q", header)
		}
	}
}

func TestSubmodulesThatAreRefusedBeforeTheyAreFetched(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	var visits atomic.Int32
	stranger := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		http.NotFound(w, nil)
	}))
	w := newWorld(t, plain(nil), nil)
	host := strings.TrimPrefix(stranger.URL, "http://")
	for name, row := range map[string]struct{ url, words string }{
		"file URL":      {"file:///etc", "submodule a: its address begins with file://"},
		"ext":           {"ext::sh -c touch% " + canary, "holds what is not allowed"},
		"plain http":    {"http://" + host + "/a/b.git", "which gets no credential: it can be read over https alone"},
		"ssh elsewhere": {"ssh://git@" + host + "/a/b.git", "is at " + host + ", which gets no credential: without one"},
		"option":        {"ssh://-oProxyCommand=touch" + canary + "/x", "no valid host"},
	} {
		t.Run(name, func(t *testing.T) {
			w.put("acme/api", withModules(entry("good", "good", "../api")+entry("m", "a", row.url), map[string]string{"a": someCommit, "good": w.commit}))
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, tasks.ReasonGitRejected, row.words)
			if strings.Contains(w.log.String(), "\nsubmodule ") {
				t.Error("a submodule was fetched")
			}
		})
	}
	if _, err := os.Lstat(canary); err == nil || visits.Load() != 0 {
		t.Errorf("something was run or visited (%d times)", visits.Load())
	}
}

// listing is what git config says of one submodule.
func listing(path, url string) string {
	return "submodule.m.path\n" + path + "\x00submodule.m.url\n" + url + "\x00"
}

func TestSubmodulePolicy(t *testing.T) {
	t.Parallel()
	const secret, host, canary, base = "swordfish", "127.0.0.1:9", "/tmp/canary", "https://git.example/scm"
	c := newClient(t, base, git.Options{})
	for name, row := range map[string]struct{ path, url, words string }{
		"file URL":                 {"a", "file:///etc", "begins with file://"},
		"local path":               {"a", "/etc", "no https:// or ssh:// URL"},
		"path without a slash":     {"a", "etc", "no https:// or ssh:// URL"},
		"ext":                      {"a", "ext::sh -c touch% " + canary, "not allowed"},
		"ext without spaces":       {"a", "ext::touch", "no https:// or ssh:// URL"},
		"ext as a URL":             {"a", "ext://x/y", "begins with ext://"},
		"fd":                       {"a", "fd::17", "no https:// or ssh:// URL"},
		"git protocol":             {"a", "git://" + host + "/a/b", "begins with git://"},
		"git+ssh":                  {"a", "git+ssh://" + host + "/a/b", "begins with git+ssh://"},
		"plain http":               {"a", "http://" + host + "/a/b.git", "which gets no credential: it can be read over https alone"},
		"ssh elsewhere":            {"a", "ssh://git@" + host + "/a/b.git", "is at " + host + ", which gets no credential: without one"},
		"ssh elsewhere, short":     {"a", "git@other.example:a/b.git", "is at other.example, which gets no credential"},
		"option as ssh host":       {"a", "ssh://-oProxyCommand=touch" + canary + "/x", "no valid host"},
		"option as scp host":       {"a", "-oProxyCommand=touch:x/y", "holds what is not allowed"},
		"option in a path":         {"a", base + "/a/-oProxyCommand=x", "no valid path"},
		"password":                 {"a", "https://x:" + secret + "@other.example/a/b", "holds a password"},
		"query":                    {"a", base + "/a/b?x=1", "more than a host and a path"},
		"newline":                  {"a", base + "/a/b\nhost=evil", "holds what is not allowed"},
		"no host":                  {"a", "https:///a/b", "no valid host"},
		"wildcard host":            {"a", "https://*.example/a/b", "no valid host"},
		"relative, out of host":    {"a", "../../../../x", "leads out"},
		"relative, one segment":    {"a", "../../x", "names no"},
		"relative with an escape":  {"a", "../%2e%2e/x", "not allowed"},
		"no address":               {"a", "", "address is missing"},
		"path with a CR":           {"sub\r", "../lib", "path holds what is not allowed"},
		"path into .git":           {".git/modules/x", "../lib", "leads into .git"},
		"path into .GIT":           {"x/.GIT/hooks", "../lib", "leads into .git"},
		"path into git~1":          {"git~1/x", "../lib", "leads into .git"},
		"path out of the tree":     {"../x", "../lib", "path is not allowed"},
		"path around":              {"x/../y", "../lib", "path is not allowed"},
		"absolute path":            {"/etc/x", "../lib", "path is not allowed"},
		"path as an option":        {"-x", "../lib", "path is not allowed"},
		"path with a backslash":    {`a\b`, "../lib", "path holds what is not allowed"},
		"path that is the tree":    {".", "../lib", "path is not allowed"},
		"path with a double slash": {"a//b", "../lib", "path is not allowed"},
	} {
		_, err := c.Submodules(source(planted), listing(row.path, row.url))
		wantFailure(t, err, tasks.ReasonGitRejected, row.words)
		if strings.Contains(err.Error(), secret) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: error = %q, want one line without the password", name, err)
		}
	}
	for url, want := range map[string]git.Fetch{
		"../lib":                               {"a", base + "/acme/lib.git", true},
		"../../them/lib.git/":                  {"a", base + "/them/lib.git", true},
		"./sub":                                {"a", base + "/acme/api.git/sub.git", true},
		base + "/acme/lib.git":                 {"a", base + "/acme/lib.git", true},
		"https://user@git.example/scm/a/b":     {"a", base + "/a/b.git", true},
		"https://GIT.example:443/scm/a/b":      {"a", base + "/a/b.git", true},
		"git@git.example:acme/lib.git":         {"a", base + "/acme/lib.git", true},
		"git.example:acme/lib":                 {"a", base + "/acme/lib.git", true},
		"ssh://git@git.example:22/acme/lib":    {"a", base + "/acme/lib.git", true},
		"https://git.example/elsewhere/a":      {"a", "https://git.example/elsewhere/a", false},
		"https://git.example:8443/scm/a/b.git": {"a", "https://git.example:8443/scm/a/b.git", false},
		"https://other.example/x/y/z.git/":     {"a", "https://other.example/x/y/z.git", false},
		"https://[::1]:8443/x":                 {"a", "https://[::1]:8443/x", false},
	} {
		got, err := c.Submodules(source(planted), listing("a", url))
		if diff := cmp.Diff([]git.Fetch{want}, got); diff != "" {
			t.Errorf("submodule at %s: %v (-want +got):\n%s", url, err, diff)
		}
	}
}

// FuzzSubmodulePolicy checks that the credential goes to the provider alone,
// and that what passes is one https address and one path below the tree.
func FuzzSubmodulePolicy(f *testing.F) {
	for _, url := range []string{"../lib", "git@git.example:a/b", "https://other.example/x", "ext::sh", "ssh://-oX/y", "https://git.example/scm/a/b\n"} {
		f.Add(listing("vendor/lib", url))
	}
	f.Add("submodule.a.b.path\n.git/x\x00submodule.a.b.url\n../../../x\x00")
	const base = "https://git.example/scm"
	c, err := git.New(git.Options{GitHubURL: base, Environ: []string{"PATH=/bin"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := c.Submodules(source("token"), text)
		if err != nil {
			wantFailure(t, err, tasks.ReasonGitRejected, "clone acme/api@main")
			return
		}
		for _, s := range all {
			u, err := url.Parse(s.URL)
			if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || strings.ContainsAny(s.URL, "\r\n\x00 ") {
				t.Errorf("address = %q, %v", s.URL, err)
			}
			if s.Credential && (u.Host != "git.example" || !strings.HasPrefix(u.JoinPath().Path, "/scm/")) {
				t.Errorf("the credential goes to %q", s.URL)
			}
			if !filepath.IsLocal(s.Path) || strings.Contains(strings.ToLower("/"+s.Path+"/"), "/.git/") {
				t.Errorf("path = %q", s.Path)
			}
		}
	})
}

func TestModulesFileThatCanBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	for name, row := range map[string]struct{ text, words string }{
		"two addresses":    {entry("m", "a", "../lib") + entry("m", "a", "../other"), "two values for submodule m"},
		"two for a path":   {entry("m", "a", "../lib") + entry("n", "A", "../lib"), "two submodules have that path"},
		"no path":          {"[submodule \"m\"]\n\turl = ../lib\n", "submodule m: its path is missing"},
		"broken":           {"[submodule \"m\"\n", ".gitmodules cannot be read"},
		"too many":         {many(101), "more than 100 submodules"},
		"large":            {"#" + strings.Repeat("x", 300<<10), ".gitmodules is larger than 256 KiB"},
		"name leading out": {entry("x/../../m", "a", "../lib"), "holds objects that git refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			w.put("acme/api", withModules(row.text, map[string]string{"a": someCommit}))
			_, err := w.clone(git.Options{}, source(""))
			w.wantFailure(err, tasks.ReasonGitRejected, row.words)
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(entry(fmt.Sprint("m", i), fmt.Sprint("p", i), "../lib"))
	}
	return b.String()
}

func TestSubmodulesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	text := entry("gone", "not-in-the-tree", "file:///etc") + entry("none", "unwanted", "../lib") + "\tupdate = none\n"
	w.put("acme/api", withModules(text, map[string]string{"unwanted": someCommit, "unnamed": someCommit}))
	if _, err := w.clone(git.Options{}, source("")); err != nil {
		t.Fatal(err)
	}
	want := []string{".gitmodules", "own", "unnamed", "unwanted"}
	if diff := cmp.Diff(want, tree(t, w.dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestSubmodulesNestOnlySoDeep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	below := w.put("acme/d0", plain(map[string]string{"f": ""}))
	for i := 1; i <= 5; i++ {
		below = w.put(fmt.Sprint("acme/d", i), withModules(entry("d", "d", fmt.Sprint("../d", i-1)), map[string]string{"d": below}))
	}
	from := source("")
	from.Repository = "acme/d5"
	if _, err := w.client(git.Options{}).Clone(t.Context(), from, filepath.Join(t.TempDir(), "s"), w.log); err != nil {
		t.Fatal(err)
	}
	w.put("acme/api", withModules(entry("d", "d", "../d5"), map[string]string{"d": below}))
	_, err := w.clone(git.Options{}, source(""))
	w.wantFailure(err, tasks.ReasonGitRejected, "submodule d/d/d/d/d: submodules are nested more than 5 deep")
}

func TestWhatGoesWrongWithASubmodule(t *testing.T) {
	t.Parallel()
	const missing = "clone acme/api@main: submodule vendor/lib: "
	for name, row := range map[string]struct {
		status int
		reason tasks.Reason
		words  string
	}{
		"limited":   {429, tasks.ReasonGitRateLimited, missing + "127.0.0.1:"},
		"away":      {503, tasks.ReasonGitUnavailable, "answered with status 503"},
		"forbidden": {403, tasks.ReasonGitAuth, "refused the token"},
		"unseen":    {404, tasks.ReasonGitNotFound, missing + "repository does not exist, or the token may not see it"},
		"moved":     {302, tasks.ReasonGitRejected, "redirects to http://127.0.0.1:1, which is not followed"},
		"no commit": {200, tasks.ReasonGitRefNotFound, missing + "the commit that the repository names is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withModules(entry("lib", "vendor/lib", "../lib"), map[string]string{"vendor/lib": someCommit}), func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if row.status == 200 || !strings.HasPrefix(r.URL.Path, "/acme/lib.git") {
						h.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Location", "http://127.0.0.1:1/x")
					w.WriteHeader(row.status)
				})
			})
			w.put("acme/lib", plain(nil))
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, row.reason, row.words)
		})
	}
}

func TestSubmoduleThatHasMovedOnItsHost(t *testing.T) {
	t.Parallel()
	other := newElsewhere(t)
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rest, moved := strings.CutPrefix(r.URL.Path, "/old/lib.git"); moved {
				http.Redirect(w, r, "/acme/lib.git"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	lib := w.put("acme/lib", withLFS(w.server.PutLFS("large")))
	w.server.Allow("acme/lib", user, planted)
	at := &world{t: t, server: other.Server}
	theirs := at.put("them/lib", plain(map[string]string{"theirs": ""}))
	// This server knows its repositories by the longer name alone, and says so.
	text := entry("a", "a", "../../old/lib.git") + entry("b", "b", "https://"+other.host+"/them/lib")
	w.put("acme/api", withModules(text, map[string]string{"a": lib, "b": theirs}))
	if _, err := w.clone(other.options(), source(planted)); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, w.dir, map[string]string{"a/large.bin": "large", "b/theirs": ""})
}

func TestServerThatGivesOutBranchesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Git-Protocol")
			h.ServeHTTP(w, r)
		})
	})
	old := w.put("acme/lib", plain(map[string]string{"old": ""}))
	w.put("acme/lib", plain(map[string]string{"new": ""}))
	if err := w.server.Configure(t.Context(), "acme/lib", map[string]string{"uploadpack.allowAnySHA1InWant": "false"}); err != nil {
		t.Fatal(err)
	}
	w.put("acme/api", withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": old}))
	if _, err := w.clone(git.Options{}, source("")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "lib", "old")); err != nil {
		t.Errorf("the submodule is not at its commit: %v", err)
	}
	wantOnly(t, w.work, "source")
	w.put("acme/api", withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": someCommit}))
	_, err := w.client(git.Options{}).Clone(t.Context(), source(""), filepath.Join(t.TempDir(), "s"), w.log)
	wantFailure(t, err, tasks.ReasonGitRefNotFound, "the commit that the repository names is not there")
}

func TestSubmodulesCountForTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", plain(map[string]string{"zeros": strings.Repeat("0", 1<<20)}))
	w.put("acme/api", withModules(entry("a", "a", "../lib")+entry("b", "b", "../lib"), map[string]string{"a": lib, "b": lib}))
	_, err := w.clone(git.Options{MaxBytes: 2 << 20}, source(""))
	w.wantFailure(err, tasks.ReasonSourceTooLarge, "submodule b: the source takes more than 2 MiB")
}

func TestCancelWhileASubmoduleIsFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		stalling := gittest.StallAfter(h, 300_000)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/acme/lib.git") {
				stalling.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	lib := w.put("acme/lib", plain(map[string]string{"noise": noise(1 << 20)}))
	w.put("acme/api", withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": lib}))
	ctx, end := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := w.client(git.Options{}).Clone(ctx, source(planted), w.dir, w.log)
		done <- err
	}()
	eventually(t.Context(), t, "the submodule's pack being written", func() bool {
		packs, _ := filepath.Glob(filepath.Join(w.work, ".git-home-*/module-1/objects/pack/tmp_pack_*"))
		return len(packs) > 0
	})
	group := groupsOf(w.processes())
	began := time.Now()
	end(tasks.ErrCancelled)
	if err := <-done; err != tasks.ErrCancelled || time.Since(began) > time.Second {
		t.Errorf("Clone = %v after %s, want the cause within a second", err, time.Since(began))
	}
	for _, p := range processes() {
		if len(group) > 0 && p.group == group[0] && p.state != "Z" {
			t.Errorf("process %s of the clone is still there", p.id)
		}
	}
	wantOnlyNothing(t, w.work)
}
