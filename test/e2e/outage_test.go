//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
)

// TestNATSAwayFor20Seconds takes NATS away while two tasks run: one is in the
// middle of its build all the time, the other has built and pushed and waits
// with its job until NATS is back. Each has one outcome, and no line is lost.
func TestNATSAwayFor20Seconds(t *testing.T) {
	t.Parallel()
	server := natstest.Run(t)
	source := newProvider(t)
	w := newWorld(t, worldOptions{server: server.ClientURL(), env: []string{github(source)}})
	source.private("acme/middle", gitToken, running(t, "middle", slowBuild(w, "26")))
	source.private("acme/end", gitToken, running(t, "end", slowBuild(w, "5")))
	w.start()
	middle, end := repository(t, "outage-middle", "acme/middle"), repository(t, "outage-end", "acme/end")
	first, second := w.send(middle), w.send(end)
	buildRuns(w, first)
	buildRuns(w, second)

	server.Shutdown()
	pause(t, 20*time.Second)
	if n := len(allocations(t, end.job())); n != 0 {
		t.Errorf("while NATS is away the job has %d allocations: a side effect waits until we know that the task is ours", n)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*sent{first, second} {
		r := w.succeeded(s, patience)
		if r.Attempt != 1 {
			t.Errorf("attempt %d, want 1: the worker was there all the time", r.Attempt)
		}
		wantAll(t, "the log", w.logText(s), "done sleeping", "is healthy")
	}
	if got, want := answer(t, middle.job()), "hello from middle\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
}
