package git_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	if err := <-done; !errors.Is(err, tasks.ErrCancelled) || time.Since(began) > 2*time.Second {
		t.Errorf("Clone = %v after %s, want the cause at once", err, time.Since(began))
	}
	for _, p := range processes() {
		if len(group) > 0 && p.group == group[0] && p.state != "Z" {
			t.Errorf("process %s of the clone is still there", p.id)
		}
	}
	wantOnlyNothing(t, w.work)
}
