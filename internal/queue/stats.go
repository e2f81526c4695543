package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats is what the queue looks like from outside, from the stream itself and
// not from what workers have picked up: it is true when no worker works, too.
type Stats struct {
	// Runnable counts the messages that no worker has been given yet.
	Runnable int
	// Running counts leased jobs, Retry open runs that nobody has, and Blocked
	// the rest of what was delivered: handed back behind another task of its job.
	// They are counts of keys, so that 100,000 tasks cost no more than one; a task
	// of run-once, which has a lease and no message, makes Blocked one less.
	Running, Retry, Blocked int
	// OldestPending is how long the oldest runnable message has waited.
	OldestPending time.Duration
	// DeadLetters counts the messages in the dead letters.
	DeadLetters int
}

// Reader reads the state of the queue. It changes nothing.
type Reader struct {
	js       jetstream.JetStream
	topology Topology
}

// NewReader returns a reader of the queue.
func NewReader(js jetstream.JetStream, t Topology) *Reader { return &Reader{js: js, topology: t} }

// Stats asks the server.
func (r *Reader) Stats(ctx context.Context) (Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := r.js.Consumer(ctx, r.topology.Tasks(), consumerName)
	if err != nil {
		return Stats{}, fmt.Errorf("read consumer %s: %w", consumerName, err)
	}
	info := consumer.CachedInfo()
	stats := Stats{Runnable: int(info.NumPending)}
	if err := r.split(ctx, &stats, info.NumAckPending); err != nil {
		return Stats{}, err
	}
	if stats.Runnable > 0 {
		if stats.OldestPending, err = r.age(ctx, info.Delivered.Stream+1); err != nil {
			return Stats{}, err
		}
	}
	letters, err := r.js.Stream(ctx, r.topology.DeadLetters())
	if err != nil {
		return Stats{}, fmt.Errorf("read stream %s: %w", r.topology.DeadLetters(), err)
	}
	stats.DeadLetters = int(letters.CachedInfo().State.Msgs)
	return stats, nil
}

// split tells what the delivered messages wait for.
func (r *Reader) split(ctx context.Context, stats *Stats, delivered int) error {
	runs, err := r.js.Stream(ctx, BucketStream(r.topology.Runs()))
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", r.topology.Runs(), err)
	}
	leases, err := r.js.Stream(ctx, BucketStream(r.topology.Leases()))
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", r.topology.Leases(), err)
	}
	held, err := leases.Info(ctx, jetstream.WithSubjectFilter(KeySubject(r.topology.Leases(), TargetKeys+">")))
	if err != nil {
		return fmt.Errorf("count the leases in %s: %w", r.topology.Leases(), err)
	}
	leased, open := len(held.State.Subjects), int(runs.CachedInfo().State.Msgs)
	stats.Running = min(leased, delivered)
	stats.Retry = min(max(open-leased, 0), delivered-stats.Running)
	stats.Blocked = delivered - stats.Running - stats.Retry
	return nil
}

// age is how long the first message from a sequence on has been stored.
func (r *Reader) age(ctx context.Context, from uint64) (time.Duration, error) {
	stream, err := r.js.Stream(ctx, r.topology.Tasks())
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", r.topology.Tasks(), err)
	}
	msg, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(r.topology.subject("task", ">")))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the oldest message of %s: %w", r.topology.Tasks(), err)
	}
	return time.Since(msg.Time), nil
}
