package git_test

import (
	"encoding/pem"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestCloneWithEachProvidersUser(t *testing.T) {
	t.Parallel()
	for provider, name := range map[string]string{
		"github": user, "gitlab": user, "bitbucket": "x-token-auth",
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plain(nil), nil)
			w.server.Allow("acme/api", name, planted)
			from := source(planted)
			from.Provider = provider
			got, err := w.clone(git.Options{}, from)
			if err != nil {
				t.Fatal(err)
			}
			if want := (tasks.Revision{Commit: w.commit, Subject: "First words"}); got != want {
				t.Errorf("Clone = %+v, want %+v", got, want)
			}
			want := []string{"Dockerfile", "a dir", "a dir/é", "run.sh"}
			if diff := cmp.Diff(want, tree(t, w.dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			wantOnly(t, w.work, "source")
		})
	}
}

func TestCloneRefs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	slash, err := w.server.Commit(t.Context(), "acme/api", gittest.Commit{Branch: "feature/a/b", Message: "slash", Files: map[string]string{"f": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	for tag, at := range map[string]string{"v1": "main", "feature/a/b": "main", "file": "main:run.sh"} {
		if err := w.server.Tag(t.Context(), "acme/api", tag, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct{ repository, ref, commit string }{
		"a tag":                             {"acme/api", "v1", w.commit},
		"a branch with slashes beats a tag": {"acme/api", "feature/a/b", slash},
		"a repository with its suffix":      {"acme/api.git", "main", w.commit},
	} {
		t.Run(name, func(t *testing.T) {
			from := tasks.Source{Provider: "gitlab", Repository: row.repository, Branch: row.ref}
			got, err := w.client(git.Options{}).Clone(t.Context(), from, filepath.Join(t.TempDir(), "s"), w.log)
			if err != nil || got.Commit != row.commit {
				t.Errorf("Clone(%s) = %+v, %v, want commit %s", row.ref, got, err, row.commit)
			}
		})
	}
	from := source("")
	from.Branch = "file"
	_, err = w.clone(git.Options{}, from)
	w.wantFailure(err, tasks.ReasonGitRefNotFound, "clone acme/api@file: the tag does not name a commit")
}

func TestCloneSubgroupOfGitLabBelowABasePath(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler { return http.StripPrefix("/git", h) })
	commit := w.put("group/sub/name", plain(nil))
	w.server.Allow("group/sub/name", user, planted)
	w.url += "/git/"
	got, err := w.clone(git.Options{}, tasks.Source{Provider: "gitlab", Repository: "group/sub/name", Branch: "main", Token: planted})
	if err != nil || got.Commit != commit {
		t.Errorf("Clone = %+v, %v, want commit %s", got, err, commit)
	}
}

func TestCloneOverTLSNeedsATrustedCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	secure := httptest.NewUnstartedServer(w.server)
	secure.Config.ErrorLog = quiet()
	secure.StartTLS()
	t.Cleanup(secure.Close)
	w.url = secure.URL
	_, err := w.clone(git.Options{}, source(planted))
	w.wantFailure(err, tasks.ReasonGitUnavailable, "no trusted TLS connection to 127.0.0.1")

	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := w.clone(git.Options{Environ: []string{"PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + file}}, source(planted))
	if err != nil || got.Commit != w.commit {
		t.Errorf("Clone = %+v, %v, want commit %s", got, err, w.commit)
	}
}

func TestTwoClonesUseTheirOwnTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	tokens := map[string]string{"acme/api": "token-of-api", "acme/web": "token-of-web"}
	w.put("acme/web", plain(map[string]string{"web": ""}))
	client := w.client(git.Options{})
	var both sync.WaitGroup
	for repository, token := range tokens {
		w.server.Allow(repository, user, token)
		dir := filepath.Join(t.TempDir(), "s")
		both.Go(func() {
			from := tasks.Source{Provider: "github", Repository: repository, Branch: "main", Token: tasks.Secret(token)}
			if _, err := client.Clone(t.Context(), from, dir, w.log); err != nil {
				t.Errorf("Clone(%s) = %v", repository, err)
			}
		})
	}
	both.Wait()
}

func TestLogHoldsOnePhaseALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	if _, err := w.clone(git.Options{}, source("")); err != nil {
		t.Fatal(err)
	}
	text := w.log.String()
	for _, want := range []string{"Receiving objects: 100% (6/6)", "remote: Counting objects: 100% (6/6), done.\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("log = %q, want %q in it", text, want)
		}
	}
	for _, never := range []string{"\r", "\x1b", " 50%", "Cloning into", w.work} {
		if strings.Contains(text, never) {
			t.Errorf("log = %q, want no %q in it", text, never)
		}
	}
}

func TestCloneRefusesADirectoryThatExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := w.clone(git.Options{}, source(""))
	wantFailure(t, err, tasks.ReasonInternal, "clone acme/api@main: the work directory cannot be used")
	wantOnly(t, w.work, "source")
}

// tree lists the paths below dir in order.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		if path != "." {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// wantOnly checks that a directory has one entry.
func wantOnly(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("entries of the work directory = %v, %v, want %s alone", entries, err, name)
	}
}
