package queue

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// CancelSubject is where a message asks for a task's end.
func (t Topology) CancelSubject(id string) string { return t.subject("cancel", id) }

// Cancels is a subscription to the requests to end tasks.
type Cancels struct{ subscription *nats.Subscription }

// SubscribeCancels calls heard with the id of each task whose end is asked for,
// one after the other. What was asked for before, or while the connection was
// away, is read when a task is claimed.
func SubscribeCancels(nc *nats.Conn, t Topology, heard func(id string)) (*Cancels, error) {
	subscription, err := nc.Subscribe(t.CancelSubject("*"), func(msg *nats.Msg) {
		id := msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
		if tasks.ValidID(id) {
			heard(id)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", t.CancelSubject("*"), err)
	}
	return &Cancels{subscription: subscription}, nil
}

// Close ends the subscription.
func (c *Cancels) Close() { _ = c.subscription.Unsubscribe() }

// Cancel asks for a task's end. It returns when the server keeps the request:
// it counts for a task that runs, waits or has not come yet.
func (r *Reader) Cancel(ctx context.Context, id, why string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := r.js.Publish(ctx, r.topology.CancelSubject(id), []byte(why)); err != nil {
		return fmt.Errorf("ask for the end of task %s: %w", id, err)
	}
	return nil
}
