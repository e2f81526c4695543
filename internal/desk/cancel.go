package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// pollEvery is how often a task's end is looked for.
const pollEvery = 500 * time.Millisecond

// Cancelled is what a request to cancel a task has found.
type Cancelled struct {
	TaskID string `json:"task_id"`
	// Asked is false where the task had ended: then nothing was done.
	Asked bool `json:"asked"`
	// Was is where the task was when its end was asked for.
	Was Why `json:"was"`
	// Text is one sentence for a person.
	Text    string       `json:"text"`
	Outcome *OutcomeView `json:"outcome,omitempty"`
}

// Cancel asks for the task's end and says where the task was. One that has ended
// is left alone; for one that is not known yet the request counts when it comes.
func (d *Desk) Cancel(ctx context.Context, id, why string) (Cancelled, error) {
	// Whether it can be told of is no matter here, and would need another right.
	found, err := d.show(ctx, ShowQuery{ID: id}, func(tasks.Kind) string { return "" })
	if err != nil {
		return Cancelled{}, err
	}
	c := Cancelled{TaskID: id, Was: found.Why, Outcome: found.Outcome}
	if found.Outcome != nil && found.Outcome.At != nil {
		c.Text = fmt.Sprintf("%s: %s; it is left alone", id, found.Text)
		return c, nil
	}
	if err := queue.NewReader(d.js, d.topology).Cancel(ctx, id, why); err != nil {
		if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			return c, &NoStreamError{Stream: d.topology.Events()}
		}
		return c, err
	}
	c.Asked = true
	switch found.State {
	case StateUnknown:
		c.Text = id + ": not known yet; it is cancelled when it comes"
	case StateEnding:
		c.Text = id + ": its outcome was recorded before; it stays"
	case StateDeadLetter:
		c.Text = id + ": is a dead letter; there is nothing to cancel"
	case StateRunning:
		c.Text = fmt.Sprintf("%s: %s; it is asked to stop", id, found.Text)
	default:
		c.Text = fmt.Sprintf("%s: waits (%s); it ends when it is delivered next, and is not carried out any more", id, found.Text)
	}
	return c, nil
}

// Await returns the outcome of a task when it has ended, or the context's cause.
func (d *Desk) Await(ctx context.Context, id string) (*OutcomeView, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		settlement, at, err := d.ended(ctx, id)
		if err != nil || settlement != nil {
			if err == nil {
				return outcomeView(*settlement, at), nil
			}
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
