package chaos_test

import (
	"fmt"
	"os"
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
// sends by the clock or at its start, and not the questions of its sweeper.
func counted(name string) bool {
	for _, prefix := range []string{
		"ask ", "write lease worker", "write lease sweep", "verb +WPI", "last KV_dispatch_run", "last KV_dispatch_lease", "last DISPATCH_TASKS",
	} {
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
	everyPlace(t, (*process).kill, func(*server, *process) {})
}

// TestAWorkerStallsAtEveryPoint stops the worker at every point for longer than
// its lease and its delivery last, lets another one finish the task, and wakes
// it up again: it says and does nothing more.
func TestAWorkerStallsAtEveryPoint(t *testing.T) {
	everyPlace(t, (*process).pause, func(s *server, victim *process) {
		victim.wake()
		s.quiet(victim)
	})
}

// TestAWorkerWakesUpWhileAnotherHasItsTask is the same, but the stalled worker
// wakes up in the middle of what the other one does.
func TestAWorkerWakesUpWhileAnotherHasItsTask(t *testing.T) {
	rows(t, []task{deployment("one", "web", "ok-1200ms")}, func(t *testing.T, k task, at place) {
		t.Helper()
		s := newServer(t, pace)
		victim := s.stopAt(k, at, (*process).pause)
		other := s.direct()
		s.claimedBy(k, other)
		victim.wake()
		s.settled(k)
		s.quiet(victim)
		other.terminate()
		s.check(t)
	})
}

// everyPlace stops a worker at each place, and lets another one finish.
func everyPlace(t *testing.T, stop func(*process), afterwards func(*server, *process)) {
	t.Helper()
	kinds := []task{deployment("one", "web", "ok-30ms"), failing("two", "web"), destroying("three", "web")}
	rows(t, kinds, func(t *testing.T, k task, at place) {
		t.Helper()
		s := newServer(t, pace)
		victim := s.stopAt(k, at, stop)
		other := s.direct()
		s.settled(k)
		afterwards(s, victim)
		other.terminate()
		s.check(t)
	})
}

// atOnce is how many rows run at a time: they mostly wait.
const atOnce = 10

// rows runs a row for each place on the way of each task: all of them with
// CHAOS=all, else some.
func rows(t *testing.T, kinds []task, row func(*testing.T, task, place)) {
	t.Helper()
	limit := make(chan struct{}, atOnce)
	every := 8
	if os.Getenv("CHAOS") == "all" {
		every = 1
	}
	n := 0
	for _, k := range kinds {
		for _, at := range places(t, k) {
			if n++; n%every != 0 {
				continue
			}
			t.Run(k.id+" "+at.String(), func(t *testing.T) {
				t.Parallel()
				limit <- struct{}{}
				defer func() { <-limit }()
				row(t, k, at)
			})
		}
	}
}

// stopAt gives the task to a worker and stops it at the place.
func (s *server) stopAt(k task, at place, stop func(*process)) *process {
	s.t.Helper()
	var victim *process
	started, stopped := make(chan struct{}), make(chan struct{})
	w := &watch{place: at, counts: map[string]int{}, at: func() {
		<-started
		stop(victim)
		close(stopped)
	}}
	victim = s.throughProxy(w.hook)
	close(started)
	s.send(k)
	select {
	case <-stopped:
	case <-time.After(patience):
		s.t.Fatalf("the worker never came to %q", at)
	}
	return victim
}
