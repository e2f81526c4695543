//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSubmitFollowsATaskToItsEnd publishes, prints stages and lines, and exits
// by the outcome.
func TestSubmitFollowsATaskToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	repository := pushHello(t, "submitted", "1")
	good := image(t, "submitted", repository, "1")
	p := w.submit(good)
	if code := p.exit(patience); code != 0 {
		t.Fatalf("exit code %d, want 0:\n%s%s", code, p.out.tail(20), p.err.tail(5))
	}
	wantAll(t, "the output", p.out.String(), "queued "+good.id, "==> resolve", "==> watch", "hello dev starts on port 8080", "SUCCEEDED", "image "+repository+"@sha256:")

	bad := image(t, "submitted-bad", repository, "not-there")
	p = w.submit(bad)
	if code := p.exit(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	wantAll(t, "the output", p.out.String(), "FAILED in resolve", "image_not_found")
}

// TestSubmitSplitsADestroyOfSeveralJobs: a queued one names one job.
func TestSubmitSplitsADestroyOfSeveralJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	k := destroy("delete", params{"jobId": newJob(t, "first"), "serviceId": "srv-1"}, params{"jobId": newJob(t, "second"), "serviceId": "srv-2"})
	p := w.submit(k)
	if code := p.exit(patience); code != 0 {
		t.Fatalf("exit code %d, want 0:\n%s%s", code, p.out.tail(20), p.err.tail(5))
	}
	// The task itself is not in the queue, its parts are.
	w.sent = nil
	for n, want := range []string{`{"id":"srv-1","reason":"delete"}`, `{"id":"srv-2","reason":"delete"}`} {
		part := &sent{id: k.id + "-" + itoa(n+1), destroy: true}
		w.sent = append(w.sent, part)
		w.succeeded(part, 10*time.Second)
		wantGone(t, w, part.id, want)
	}
}

// submit runs dispatchd submit with a task in a file.
func (w *world) submit(k task) *process {
	w.t.Helper()
	w.expect(k)
	file := filepath.Join(w.t.TempDir(), "task.json")
	body := mustJSON(w.t, map[string]any{"task": k.kind, "id": k.id, "params": k.params})
	if err := os.WriteFile(file, body, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return startProcess(w.t, w.env, "submit", file)
}
