package git_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const wanted = "the content that is wanted"

func TestWhatGoesWrongWithLFS(t *testing.T) {
	t.Parallel()
	const content = wanted
	type answers struct{ batch, object http.HandlerFunc }
	var now atomic.Pointer[answers]
	now.Store(&answers{})
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			answers := now.Load()
			switch {
			case answers.batch != nil && strings.HasSuffix(r.URL.Path, "/objects/batch"):
				answers.batch(&replacing{rw}, r)
			case answers.object != nil && strings.Contains(r.URL.Path, "/info/lfs/objects/") && r.Method == http.MethodGet:
				answers.object(rw, r)
			default:
				h.ServeHTTP(rw, r)
			}
		})
	})
	w.put("acme/api", withLFS(w.server.PutLFS(content)))
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
	}
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	for name, row := range map[string]struct {
		batch, object http.HandlerFunc
		reason        tasks.Reason
		words         string
	}{
		"server limits":   {status(429), nil, tasks.ReasonGitRateLimited, "limits our requests"},
		"server is away":  {status(503), nil, tasks.ReasonGitUnavailable, "answered with status 503"},
		"server refuses":  {status(403), nil, tasks.ReasonGitAuth, "answered with status 403"},
		"no server":       {status(404), nil, tasks.ReasonGitNotFound, "answered with status 404"},
		"server moved":    {status(302), nil, tasks.ReasonGitRejected, "answered with status 302"},
		"no JSON":         {say("<html>"), nil, tasks.ReasonGitUnavailable, "does not answer as an LFS server does"},
		"no actions":      {say(`{"objects":[]}`), nil, tasks.ReasonGitNotFound, "does not have the file large.bin"},
		"object's error":  {say(`{"objects":[{"oid":"x","error":{"code":404,"message":"gone"}}]}`), nil, tasks.ReasonGitNotFound, "status 404 for object x"},
		"href to a file":  {say(`{"objects":[{"oid":"OID","actions":{"download":{"href":"file:///etc/passwd"}}}]}`), nil, tasks.ReasonGitRejected, "names an address that is not used"},
		"object limited":  {nil, status(429), tasks.ReasonGitRateLimited, "limits our requests"},
		"object is away":  {nil, status(500), tasks.ReasonGitUnavailable, "answered with status 500"},
		"object is short": {nil, say(content[:10]), tasks.ReasonGitUnavailable, "the connection broke off at large.bin"},
		"object is long":  {nil, say(content + "!"), tasks.ReasonGitRejected, "what came for large.bin is not what its pointer names"},
		"another object":  {nil, say(strings.ToUpper(content)), tasks.ReasonGitRejected, "what came for large.bin is not what its pointer names"},
		"redirect loop": {
			nil, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) },
			tasks.ReasonGitRejected, "more than 5 redirects",
		},
		"redirect to a file": {nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, tasks.ReasonGitRejected, "redirects to file://, which is not followed"},
		"connection broken": {nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = io.WriteString(w, content[:5])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, tasks.ReasonGitUnavailable, "the connection broke off at large.bin"},
	} {
		t.Run(name, func(t *testing.T) {
			now.Store(&answers{row.batch, row.object})
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, row.reason, row.words)
			wantFailure(t, err, row.reason, "clone acme/api@main: LFS: ")
			if strings.Contains(err.Error(), planted) {
				t.Errorf("the token stands in %q", err)
			}
		})
	}
}

// replacing puts the object's real name where a body says OID.
type replacing struct{ http.ResponseWriter }

func (r *replacing) Write(p []byte) (int, error) {
	oid := sha256.Sum256([]byte(wanted))
	_, err := r.ResponseWriter.Write([]byte(strings.ReplaceAll(string(p), "OID", hex.EncodeToString(oid[:]))))
	return len(p), err
}

func TestLFSThatStallsOrIsCancelled(t *testing.T) {
	t.Parallel()
	stalling := func(h http.Handler) http.Handler {
		slow := gittest.StallAfter(h, 1000)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/info/lfs/objects/") && r.Method == http.MethodGet {
				slow.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	t.Run("stalls", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(nil), stalling)
		w.put("acme/api", withLFS(w.server.PutLFS(noise(10_000))))
		_, err := w.clone(git.Options{StallTimeout: time.Second}, source(""))
		w.wantFailure(err, tasks.ReasonGitUnavailable, "LFS: "+strings.TrimPrefix(w.url, "http://")+" stopped answering")
	})
	t.Run("is cancelled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(nil), stalling)
		w.put("acme/api", withLFS(w.server.PutLFS(noise(10_000))))
		ctx, end := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := w.client(git.Options{}).Clone(ctx, source(""), w.dir, w.log)
			done <- err
		}()
		eventually(t.Context(), t, "a part of the object", func() bool {
			info, err := os.Stat(filepath.Join(w.dir, "large.bin"))
			return err == nil && info.Size() == 1000
		})
		end(tasks.ErrTimeout)
		if err := <-done; !errors.Is(err, tasks.ErrTimeout) {
			t.Errorf("Clone = %v, want the cause", err)
		}
		wantOnlyNothing(t, w.work)
	})
}
