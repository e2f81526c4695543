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
	// Runnable counts the messages that wait for a slot; Delivered those that
	// are with a worker or wait for their redelivery.
	Runnable  int
	Delivered int
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
	stats := Stats{Runnable: int(info.NumPending), Delivered: info.NumAckPending}
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
