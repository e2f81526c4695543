package desk

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// parallel is how many reads are on their way at once.
const parallel = 16

// Options say where to look.
type Options struct {
	Topology queue.Topology
	Subjects events.Subjects
	// Now is the clock that ages are counted by; time.Now where nil.
	Now func() time.Time
}

// Desk reads the state of tasks and workers, and does what an operator asks. It
// is safe for concurrent use.
type Desk struct {
	leader   leader
	js       jetstream.JetStream
	topology queue.Topology
	subjects events.Subjects
	now      func() time.Time
}

// New returns a desk over a connection that stays the caller's.
func New(nc *nats.Conn, js jetstream.JetStream, o Options) *Desk {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Desk{leader: leader{nc: nc}, js: js, topology: o.Topology, subjects: o.Subjects, now: o.Now}
}

// checkID refuses what cannot be an id before it becomes part of a subject.
func checkID(id string) error {
	if !tasks.ValidID(id) {
		return fmt.Errorf("%q is no task id: an id has 1 to 128 of the characters A-Z a-z 0-9 _ -", clip(id, 64))
	}
	return nil
}

func clip(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}

// each calls do for 0 … n-1, some at a time, and returns the first error. Every
// call has returned then.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	free := make(chan struct{}, parallel)
	for i := range n {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			if ctx.Err() != nil {
				return
			}
			if err := do(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
