package chaos_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/test/chaos/proxy"
)

// place is one message of a worker's life, before or after it has reached the
// server.
type place struct {
	name string
	// nth counts the messages of that name, from 1.
	nth    int
	passed bool
}

func (p place) String() string {
	when := "before"
	if p.passed {
		when = "after"
	}
	return fmt.Sprintf("%s %s %d", when, p.name, p.nth)
}

// watch counts the messages of a worker and calls at when it is at the place.
type watch struct {
	place place
	at    func()

	mu     sync.Mutex
	counts map[string]int
	seen   []place
	off    bool
}

// counted are the messages that a task brings with it: not those that a worker
// sends by the clock or at its start.
func counted(name string) bool {
	for _, prefix := range []string{"ask ", "write lease worker", "write lease sweep", "verb +WPI"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

func (w *watch) hook(p proxy.Point, passed bool) {
	w.mu.Lock()
	if w.off || !counted(p.Name) {
		w.mu.Unlock()
		return
	}
	if !passed {
		w.counts[p.Name]++
	}
	here := place{name: p.Name, nth: w.counts[p.Name], passed: passed}
	w.seen = append(w.seen, here)
	hit := here == w.place
	w.mu.Unlock()
	if hit {
		w.at()
	}
}

// places runs one task that nothing happens to and returns the places on its way.
func places(t *testing.T, k task) []place {
	t.Helper()
	s := newServer(t, pace)
	w := &watch{counts: map[string]int{}}
	s.throughProxy(w.hook)
	s.send(k)
	s.settled(k)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	return slices.Clone(w.seen)
}

// TestAWorkerDiesAtEveryPoint kills the worker, kill -9, before and after every
// message that it sends for a task. Another one finishes the task: each row ends
// in one outcome, each legacy event once.
func TestAWorkerDiesAtEveryPoint(t *testing.T) {
	everyPlace(t, func(s *server, victim *process, _ place) func() {
		victim.kill()
		return func() {}
	})
}

// TestAWorkerStallsAtEveryPoint stops the worker at every point for longer than
// its lease and its delivery last, lets another one finish the task, and wakes
// it up again: it says and does nothing more.
func TestAWorkerStallsAtEveryPoint(t *testing.T) {
	everyPlace(t, func(s *server, victim *process, _ place) func() {
		victim.pause()
		return func() {
			victim.wake()
			s.quiet(victim)
		}
	})
}

func everyPlace(t *testing.T, happen func(*server, *process, place) (afterwards func())) {
	t.Helper()
	if testing.Short() {
		t.Skip("each row waits for an ack wait")
	}
	limit := make(chan struct{}, 10)
	for _, k := range []task{deployment("one", "web", "ok-30ms"), failing("two", "web"), destroying("three", "web")} {
		for _, at := range places(t, k) {
			t.Run(k.kind+" "+k.id+" "+at.String(), func(t *testing.T) {
				t.Parallel()
				limit <- struct{}{}
				defer func() { <-limit }()
				oneRow(t, k, at, happen)
			})
		}
	}
}

func oneRow(t *testing.T, k task, at place, happen func(*server, *process, place) func()) {
	t.Helper()
	s := newServer(t, pace)
	var victim *process
	hit := make(chan struct{})
	started := make(chan struct{})
	var afterwards func()
	w := &watch{place: at, counts: map[string]int{}, at: func() {
		<-started
		afterwards = happen(s, victim, at)
		close(hit)
	}}
	victim = s.throughProxy(w.hook)
	close(started)
	s.send(k)
	select {
	case <-hit:
	case <-time.After(20 * time.Second):
		t.Fatalf("the worker never came to %q; it said:\n%s", at, victim.log())
	}
	other := s.direct()
	s.settled(k)
	afterwards()
	other.terminate()
	s.check(t)
}
