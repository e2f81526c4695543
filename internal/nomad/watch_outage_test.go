package nomad_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestWatchWaitsOutAnOutage(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setDeployment(reg, "running", "", one)
	client, done, rep := f.client(t, nomad.Options{}), make(chan error, 1), &reporter{}
	go func() {
		_, err := client.Watch(t.Context(), tasks.Cluster{}, reg, rep)
		done <- err
	}()
	until(t, "the first answers", func() bool { return strings.Contains(rep.stdout(), "0 of 1") })
	f.script("*", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "No cluster leader", http.StatusInternalServerError)
	})
	until(t, "the outage", func() bool { return strings.Contains(rep.stderr(), "Nomad does not answer: it has no leader") })
	// A server started anew counts from the beginning.
	f.change("", func(uint64) {
		f.index = 1
		f.tables = map[string]uint64{}
	})
	f.script("*", nil)
	until(t, "the end of the outage", func() bool { return strings.Contains(rep.stdout(), "Nomad answers again") })
	f.setDeployment(reg, "successful", "", one)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWatchReadsAtOnceWhenTheIndexGoesBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	var mu sync.Mutex
	var asked []string
	f.script("GET /v1/job/web/deployments", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Query().Get("index"))
		n := len(asked)
		mu.Unlock()
		switch n {
		case 1:
			reply(w, 50, []any{})
		case 2:
			reply(w, 5, []any{})
		default:
			f.script("GET /v1/job/web/deployments", nil)
			f.setDeployment(reg, "successful", "", one)
			reply(w, 6, []any{})
		}
	})
	if _, _, err := watch(t, f, nomad.Options{}, reg); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"", "50", ""}, asked); diff != "" {
		t.Errorf("the indexes that were waited for (-want +got):\n%s", diff)
	}
}

func TestWatchGivesUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		reason tasks.Reason
	}{
		"refused token": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) }, tasks.ReasonNomadAuth},
		"no leader": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
		}, tasks.ReasonNomadDown},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, tasks.ReasonNomadDown},
		"hang":    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, tasks.ReasonNomadDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(webJob("service", 1))
			f.script("*", c.answer)
			_, _, err := watch(t, f, nomad.Options{UnavailableLimit: 500 * time.Millisecond, RequestTimeout: 300 * time.Millisecond}, reg)
			wantFailure(t, err, c.reason, "job web")
		})
	}
}

func TestWatchEndsWithTheCauseOfItsContext(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(100*time.Millisecond, func() { cancel(tasks.ErrSuperseded) })
	defer timer.Stop()
	_, err := f.client(t, nomad.Options{}).Watch(ctx, tasks.Cluster{}, reg, &reporter{})
	if !errors.Is(err, tasks.ErrSuperseded) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestWatchBoundsTheOutput(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.logs["aaaaaaaa-1/web/stdout"] = strings.Repeat("chatter\n", 5000) + "the last words\n"
	f.logs["aaaaaaaa-1/web/stderr"] = strings.Repeat("x", 100<<10)
	f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "failed", ptr(false), dead(0, exit("1"))))
	f.setDeployment(reg, "failed", "Failed due to unhealthy allocations", one)
	_, rep, err := watch(t, f, nomad.Options{LogBytes: 1000}, reg)
	wantFailure(t, err, tasks.ReasonCrashed)
	wantLines(t, "stderr", rep.stderr(), "the rest is not shown")
	wantLines(t, "stdout", rep.stdout(), "alloc aaaaaaaa web: the last words\n")
	if n := len(rep.stdout()); n > 200<<10 {
		t.Errorf("got %d bytes of output, want it bounded", n)
	}
}

func TestWatchToleratesForbiddenLogs(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("batch", 1))
	for _, path := range []string{"GET /v1/client/fs/logs/aaaaaaaa-1", "GET /v1/client/allocation/aaaaaaaa-1/checks"} {
		f.script(path, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) })
	}
	f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "complete", nil, running(0)))
	if _, _, err := watch(t, f, nomad.Options{}, reg); err != nil {
		t.Error(err)
	}
}
