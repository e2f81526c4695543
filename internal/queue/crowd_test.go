package queue_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestTheCrowdBehindAJobsNextTaskAsksNobody(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, q := open(t, topology)
	queued(t, js, topology, "web", "a", "b", "c", "d")
	queued(t, js, topology, "api", "e")
	a, b, c, d, e := fetch(t, q), fetch(t, q), fetch(t, q), fetch(t, q), fetch(t, q)
	if _, blocked := turn(t, a); blocked != nil {
		t.Fatalf("a: %+v, want its turn", blocked)
	}
	requests, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	asked := 1
	// What was seen counts for a second: on a slow machine c sees it again.
	var passed *worker.BlockedError
	for try := 0; (asked > 0 || passed == nil) && try < 5; try++ {
		_, last := turn(t, c)
		passed = d.Crowd()
		before := pending(t, nc, requests)
		_, blocked := turn(t, d)
		asked = pending(t, nc, requests) - before
		if last == nil || blocked == nil || blocked.By != "a" || blocked.Mine || blocked.After <= last.After*3/4 {
			t.Errorf("d: %+v, want it to wait for a like c, which waits %+v", blocked, last)
		}
	}
	if asked != 0 {
		t.Errorf("d asked with %d messages, want none", asked)
	}
	if passed == nil || passed.By != "a" {
		t.Errorf("d comes into a crowd: %+v, want it to wait for a", passed)
	}
	if got := b.Crowd(); got != nil {
		t.Errorf("b, which goes next: %+v, want it looked at", got)
	}
	if got := e.Crowd(); got != nil {
		t.Errorf("e, of another job: %+v, want it looked at", got)
	}
	if err := d.Retry(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, q)
	seen := false
	for try := 0; !seen && try < 5; try++ {
		turn(t, c)
		seen = d.Crowd() != nil
	}
	if !seen {
		t.Fatal("nobody remembers the line")
	}
	if got := again.Crowd(); got != nil {
		t.Errorf("d, delivered again: %+v, want it looked at: it may have been cancelled", got)
	}

	if err := a.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, blocked := turn(t, b); blocked == nil || blocked.By != "a" || blocked.After != 2*time.Second {
		t.Errorf("b, while the lease is a's: %+v, want it next in line", blocked)
	}
	if _, blocked := turn(t, e); blocked != nil {
		t.Errorf("e, of another job: %+v, want its turn", blocked)
	}
}

// pending counts what was heard of the messages sent so far.
func pending(t *testing.T, nc *nats.Conn, heard *nats.Subscription) int {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	n, _, err := heard.Pending()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
