package queue

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Once is a queue of one delivery for a pool of one slot. What is handed back
// comes again after its delay; after Done or Discard the queue is exhausted,
// and so it is where the slot asks again without having used a verb.
type Once struct {
	task        tasks.Task
	invalid     error
	traceparent string

	mu         sync.Mutex
	deliveries int
	out        bool
	ended      bool
	notBefore  time.Time
}

var _ worker.Queue = (*Once)(nil)

// NewOnce returns a queue that holds the task, or what could be read of it and
// why it is not valid.
func NewOnce(task tasks.Task, invalid error, traceparent string) *Once {
	return &Once{task: task, invalid: invalid, traceparent: traceparent}
}

// Fetch returns the delivery when it is due, and io.EOF once it has ended.
func (q *Once) Fetch(ctx context.Context) (worker.Delivery, error) {
	for {
		delivery, wait, err := q.next()
		if delivery != nil || err != nil {
			return delivery, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func (q *Once) next() (worker.Delivery, time.Duration, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch wait := time.Until(q.notBefore); {
	case q.ended, q.out:
		return nil, 0, io.EOF
	case wait > 0:
		return nil, wait, nil
	default:
		q.out = true
		q.deliveries++
		return &onceDelivery{queue: q, number: q.deliveries}, 0, nil
	}
}

// release ends the delivery that is out.
func (q *Once) release(ended bool, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out, q.ended, q.notBefore = false, ended, time.Now().Add(after)
}

type onceDelivery struct {
	queue  *Once
	number int
}

var _ worker.Delivery = (*onceDelivery)(nil)

func (d *onceDelivery) Message() worker.Message {
	return worker.Message{Deliveries: d.number, Traceparent: d.queue.traceparent}
}

func (d *onceDelivery) Decode() (tasks.Task, error) { return d.queue.task, d.queue.invalid }

func (d *onceDelivery) Extend(context.Context) error { return nil }

func (d *onceDelivery) Done(context.Context) error {
	d.queue.release(true, 0)
	return nil
}

func (d *onceDelivery) Retry(_ context.Context, after time.Duration) error {
	d.queue.release(false, after)
	return nil
}

// Discard ends the delivery: whoever started it reads the reason in its log.
func (d *onceDelivery) Discard(context.Context, worker.DeadLetter) error {
	d.queue.release(true, 0)
	return nil
}
