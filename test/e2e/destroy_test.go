//go:build e2e

package e2e_test

import (
	"slices"
	"testing"
	"time"
)

// TestDestroyOfThreeJobsGoesOnPastARefusal: one job is there, one is unknown,
// one is refused by Nomad. The task succeeds and says who is gone.
func TestDestroyOfThreeJobsGoesOnPastARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	repository := pushHello(t, "doomed", "1")
	doomed, refused := image(t, "doomed", repository, "1"), image(t, "refused", repository, "1")
	w.succeeded(w.send(doomed), patience)
	w.succeeded(w.send(refused), patience)

	k := destroy("delete",
		params{"jobId": doomed.job(), "serviceId": "srv-doomed"},
		params{"jobId": refused.job(), "serviceId": "srv-refused", "nomadToken": "5c9f8a40-0000-4000-8000-000000000000"},
		params{"jobId": newJob(t, "unknown"), "serviceId": "srv-unknown"},
	).dispatched()
	p := w.once(k)
	if code := p.exit(time.Second); code != 0 {
		t.Fatalf("run-once ended with %d, want 0:\n%s", code, p.err.tail(20))
	}
	if jobExists(t, doomed.job()) || len(allocations(t, doomed.job())) > 0 {
		t.Errorf("job %s is still there", doomed.job())
	}
	if !jobExists(t, refused.job()) {
		t.Errorf("job %s is gone although Nomad refused", refused.job())
	}
	wantGone(t, w, k.id, `{"id":"srv-doomed","reason":"delete"}`, `{"id":"srv-unknown","reason":"delete"}`)
	failures := p.logged("job not destroyed")
	if len(failures) != 1 || failures[0]["job"] != refused.job() || failures[0]["reason"] != "nomad_auth" {
		t.Errorf("the log says of what was not destroyed: %v", failures)
	}
}

// TestQueuedDestroyTakesAServiceDown is the same from the queue, for one job.
func TestQueuedDestroyTakesAServiceDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	k := image(t, "paused", pushHello(t, "paused", "1"), "1")
	w.succeeded(w.send(k), patience)
	s := w.send(destroy("pause_service", params{"jobId": k.job(), "serviceId": "srv-paused"}))
	if r := w.succeeded(s, patience); !slices.Equal(r.Destroyed, []string{k.job()}) {
		t.Errorf("the record names %v as destroyed, want %s", r.Destroyed, k.job())
	}
	wantGone(t, w, s.id, `{"id":"srv-paused","reason":"pause_service"}`)
}

// wantGone compares everything that a destroy has said.
func wantGone(t *testing.T, w *world, id string, want ...string) {
	t.Helper()
	var bodies []string
	for _, m := range w.said(&sent{id: id}) {
		if m.subject != "job.destroyed" {
			t.Errorf("a destroy said %s %s", m.subject, m.body)
		}
		bodies = append(bodies, m.body)
	}
	if !slices.Equal(bodies, want) {
		t.Errorf("job.destroyed: %v, want %v", bodies, want)
	}
}
