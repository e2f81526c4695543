package git_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestMain(m *testing.M) {
	git.BecomeSSH()
	goleak.VerifyTestMain(m)
}

const (
	planted = "ghp_planted/token+with=signs"
	user    = "x-access-token"
)

// reporter keeps what a step says.
type reporter struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *reporter) Stage(tasks.Stage) {}

func (r *reporter) Stdout() io.Writer { return r }

func (r *reporter) Stderr() io.Writer { return r }

func (r *reporter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *reporter) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// world is a git server with one repository, acme/api, and a place to clone to.
type world struct {
	t      *testing.T
	server *gittest.Server
	url    string
	commit string
	work   string
	dir    string
	log    *reporter
}

// newWorld serves the repository through wrap, which may be nil.
func newWorld(t *testing.T, c gittest.Commit, wrap func(http.Handler) http.Handler) *world {
	t.Helper()
	server, err := gittest.NewServer(t.TempDir())
	if err != nil {
		t.Skipf("needs git with http-backend: %v", err)
	}
	w := &world{t: t, server: server, work: t.TempDir(), log: &reporter{}}
	w.dir = filepath.Join(w.work, "source")
	w.commit = w.put("acme/api", c)
	var handler http.Handler = server
	if wrap != nil {
		handler = wrap(server)
	}
	w.url = serve(t, handler).URL
	return w
}

func serve(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// put commits to a repository, which it makes where there is none.
func (w *world) put(repository string, c gittest.Commit) string {
	w.t.Helper()
	if err := w.server.Create(w.t.Context(), repository); err != nil {
		w.t.Fatal(err)
	}
	commit, err := w.server.Commit(w.t.Context(), repository, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return commit
}

func (w *world) client(o git.Options) *git.Client {
	w.t.Helper()
	return newClient(w.t, w.url, o)
}

func newClient(t *testing.T, url string, o git.Options) *git.Client {
	t.Helper()
	o.GitHubURL, o.GitLabURL, o.BitbucketURL = url, url, url
	if o.Environ == nil {
		o.Environ = []string{"PATH=" + os.Getenv("PATH")}
	}
	c, err := git.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) clone(o git.Options, from tasks.Source) (tasks.Revision, error) {
	w.t.Helper()
	return w.client(o).Clone(w.t.Context(), from, w.dir, w.log)
}

func source(token string) tasks.Source {
	return tasks.Source{Provider: "github", Repository: "acme/api", Branch: "main", Token: tasks.Secret(token)}
}

func plain(files map[string]string) gittest.Commit {
	if files == nil {
		files = map[string]string{"Dockerfile": "FROM scratch\n", "run.sh": "#!/bin/sh\n", "a dir/é": "text\n"}
	}
	return gittest.Commit{Message: "First words\n\nand a body", Files: files}
}

// wantFailure checks the reason and the words of a failure, and that a failed
// clone leaves nothing behind.
func (w *world) wantFailure(err error, reason tasks.Reason, words string) {
	w.t.Helper()
	wantFailure(w.t, err, reason, words)
	entries, readErr := os.ReadDir(w.work)
	if readErr != nil || len(entries) != 0 {
		w.t.Errorf("work directory after a failure = %v, %v, want it empty", entries, readErr)
	}
}

func wantFailure(t *testing.T, err error, reason tasks.Reason, words string) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error = %v, want a *tasks.Failure", err)
	}
	if failure.Reason != reason {
		t.Errorf("reason = %q, want %q (%v)", failure.Reason, reason, err)
	}
	if !strings.Contains(failure.Message, words) {
		t.Errorf("message = %q, want %q in it", failure.Message, words)
	}
	if strings.Contains(err.Error(), "exit status") {
		t.Errorf("error = %q, which is no sentence", err)
	}
}

// eventually polls until a condition holds.
func eventually(ctx context.Context, t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
