package git_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestWhatTheProviderRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	w.put("acme/open", plain(nil))
	for name, row := range map[string]struct {
		repository, branch, token string
		reason                    tasks.Reason
		message                   string
	}{
		"wrong token":               {"acme/api", "main", "wrong", tasks.ReasonGitAuth, "clone acme/api@main: 127.0.0.1:PORT refused the token"},
		"no token":                  {"acme/api", "main", "", tasks.ReasonGitAuth, "clone acme/api@main: repository does not exist, or it needs a token"},
		"unknown repository":        {"acme/none", "main", planted, tasks.ReasonGitNotFound, "clone acme/none@main: repository does not exist, or the token may not see it"},
		"unknown, without a token":  {"acme/none", "main", "", tasks.ReasonGitNotFound, "clone acme/none@main: repository does not exist, or it needs a token"},
		"unknown branch":            {"acme/api", "release/2", planted, tasks.ReasonGitRefNotFound, "clone acme/api@release/2: branch not found"},
		"unknown branch, no token":  {"acme/open", "none", "", tasks.ReasonGitRefNotFound, "clone acme/open@none: branch not found"},
		"branch that reads as DNS":  {"acme/open", "Could-not-resolve-host", "", tasks.ReasonGitRefNotFound, "branch not found"},
		"branch that reads as 429":  {"acme/open", "error/429", "", tasks.ReasonGitRefNotFound, "branch not found"},
		"branch of a stranger's ID": {"acme/open", strings.Repeat("a", 40), "", tasks.ReasonGitRefNotFound, "branch not found"},
	} {
		t.Run(name, func(t *testing.T) {
			from := tasks.Source{Provider: "github", Repository: row.repository, Branch: row.branch, Token: tasks.Secret(row.token)}
			_, err := w.clone(git.Options{}, from)
			message := strings.ReplaceAll(row.message, "127.0.0.1:PORT", strings.TrimPrefix(w.url, "http://"))
			w.wantFailure(err, row.reason, message)
			if strings.Contains(err.Error()+w.log.String(), planted) {
				t.Errorf("the token stands in %q or in the log", err)
			}
		})
	}
}

func TestStatusesOfTheProvider(t *testing.T) {
	t.Parallel()
	for status, reason := range map[int]tasks.Reason{
		400: tasks.ReasonGitUnavailable,
		403: tasks.ReasonGitAuth,
		404: tasks.ReasonGitNotFound,
		410: tasks.ReasonGitNotFound,
		429: tasks.ReasonGitRateLimited,
		500: tasks.ReasonGitUnavailable,
		503: tasks.ReasonGitUnavailable,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			// The server's own words must not be taken for git's.
			w := newWorld(t, plain(nil), func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/plain")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, "wait\nfatal: Authentication failed for 'you'\n")
				})
			})
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, reason, "clone acme/api@main: ")
		})
	}
}

func TestStatusInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	_, err := w.clone(git.Options{}, source(""))
	w.wantFailure(err, tasks.ReasonGitRateLimited, "limits our requests")
}

func TestNetworkThatIsNotThere(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ url, words string }{
		"nobody listens": {"http://127.0.0.1:1", "127.0.0.1:1 does not accept connections"},
		"no such name":   {"http://nowhere.invalid", "the name nowhere.invalid cannot be resolved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plain(nil), nil)
			w.url = row.url
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, tasks.ReasonGitUnavailable, row.words)
		})
	}
}

func TestGarbageIsNoMissingBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>Please log in</html>")
		})
	})
	_, err := w.clone(git.Options{}, source(planted))
	w.wantFailure(err, tasks.ReasonGitUnavailable, "does not answer as a git server does")
}

func TestConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(map[string]string{"noise": noise(1 << 20)}), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, stop := context.WithCancel(r.Context())
			defer stop()
			h.ServeHTTP(&breaking{ResponseWriter: w, left: 100_000}, r.WithContext(ctx))
		})
	})
	_, err := w.clone(git.Options{}, source(""))
	w.wantFailure(err, tasks.ReasonGitUnavailable, "broke off")
}

// breaking aborts the connection after so many bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

func TestStalls(t *testing.T) {
	t.Parallel()
	stall := git.Options{StallTimeout: time.Second}
	t.Run("half a pack and then nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(map[string]string{"noise": noise(1 << 20)}), func(h http.Handler) http.Handler {
			return gittest.StallAfter(h, 300_000)
		})
		_, err := w.clone(stall, source(""))
		w.wantFailure(err, tasks.ReasonGitUnavailable, "stopped answering")
	})
	t.Run("a trickle", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(nil), trickle)
		_, err := w.clone(stall, source(""))
		w.wantFailure(err, tasks.ReasonGitUnavailable, "stopped answering")
		if !strings.Contains(w.log.String(), "remote: tick\n") {
			t.Errorf("log = %q, want the server's progress in it", w.log)
		}
	})
	t.Run("a handshake without an answer", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		w := newWorld(t, plain(nil), nil)
		w.url = "https://" + listener.Addr().String()
		_, err = w.clone(stall, source(""))
		w.wantFailure(err, tasks.ReasonGitUnavailable, "stopped answering")
	})
}

// trickle answers the request for the pack with a few bytes of progress every
// tenth of a second, for ever, so that git is never silent but slow.
func trickle(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !bytes.Contains(body, []byte("command=fetch")) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			h.ServeHTTP(w, r)
			return
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = io.WriteString(w, "000dpackfile\n")
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "000a\x02tick\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
			}
		}
	})
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		http.NotFound(w, nil)
	}))
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rest, moved := strings.CutPrefix(r.URL.Path, "/old/name.git")
			gone, away := strings.CutPrefix(r.URL.Path, "/away/name.git")
			switch {
			case moved:
				http.Redirect(w, r, "/acme/api.git"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			case away:
				http.Redirect(w, r, other.URL+"/acme/api.git"+gone+"?"+r.URL.RawQuery, http.StatusFound)
			case strings.HasPrefix(r.URL.Path, "/loop/"):
				http.Redirect(w, r, r.URL.String(), http.StatusFound)
			default:
				h.ServeHTTP(w, r)
			}
		})
	})
	w.server.Allow("acme/api", user, planted)
	from := source(planted)
	from.Repository = "away/name"
	_, err := w.clone(git.Options{}, from)
	w.wantFailure(err, tasks.ReasonGitRejected, "redirects to "+other.URL+", which is not followed")
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("the other host saw %d requests, want none", n)
	}
	from.Repository = "loop/name"
	_, err = w.clone(git.Options{}, from)
	w.wantFailure(err, tasks.ReasonGitRejected, "redirects elsewhere")

	from.Repository = "old/name"
	got, err := w.clone(git.Options{}, from)
	if err != nil || got.Commit != w.commit {
		t.Errorf("Clone of a renamed repository = %+v, %v, want commit %s", got, err, w.commit)
	}
	if want := "warning: old/name has moved to acme/api\n"; !strings.Contains(w.log.String(), want) {
		t.Errorf("log = %q, want %q in it", w.log.String(), want)
	}
}

func TestSourceTooLarge(t *testing.T) {
	t.Parallel()
	limit := git.Options{MaxBytes: 1 << 20}
	t.Run("small pack, large files", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(map[string]string{"zeros": strings.Repeat("0", 3<<20)}), nil)
		_, err := w.clone(limit, source(""))
		w.wantFailure(err, tasks.ReasonSourceTooLarge, "clone acme/api@main: the source takes more than 1 MiB")
	})
	t.Run("many empty files", func(t *testing.T) {
		t.Parallel()
		files := map[string]string{}
		for i := range 300 {
			files[fmt.Sprint("f", i)] = ""
		}
		w := newWorld(t, plain(files), nil)
		_, err := w.clone(limit, source(""))
		w.wantFailure(err, tasks.ReasonSourceTooLarge, "more than 1 MiB")
	})
	t.Run("ended while it is fetched", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(map[string]string{"noise": noise(4 << 20)}), func(h http.Handler) http.Handler {
			return gittest.StallAfter(h, 3<<20)
		})
		_, err := w.clone(limit, source(""))
		w.wantFailure(err, tasks.ReasonSourceTooLarge, "more than 1 MiB")
	})
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	for name, files := range map[string]map[string]string{
		"by the pack":  {"noise": noise(4 << 20)},
		"by the files": {"zeros": strings.Repeat("0", 4<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plain(files), nil)
			mount := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", w.work)
			if out, err := mount.CombinedOutput(); err != nil {
				t.Skipf("cannot mount a small file system: %v: %s", err, out)
			}
			t.Cleanup(func() {
				if err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", w.work).Run(); err != nil {
					t.Errorf("umount: %v", err)
				}
			})
			_, err := w.clone(git.Options{}, source(""))
			w.wantFailure(err, tasks.ReasonDiskFull, "clone acme/api@main: the worker's disk is full")
		})
	}
}

func TestWithoutGit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	for _, program := range []string{"/nonexistent/git", "git-that-is-not-there"} {
		_, err := w.clone(git.Options{Git: program}, source(""))
		w.wantFailure(err, tasks.ReasonGitUnavailable, "cannot be started on this worker")
	}
}

// noise returns text that does not compress, the same in each run.
func noise(n int) string {
	b := make([]byte, n)
	state := uint64(42)
	for i := range b {
		state = state*6364136223846793005 + 1442695040888963407
		b[i] = byte(state >> 56)
	}
	return string(b)
}
