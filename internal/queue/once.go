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
	// Limit is for how long a delivery that is handed back comes again, counted
	// from the first Fetch; 0 means for as long as the context lasts.
	Limit time.Duration
	// Leases are where the task's turn is taken; nil where our rights do not
	// reach that far, and then it is always its turn.
	Leases *Leases

	task        tasks.Task
	invalid     error
	traceparent string

	mu         sync.Mutex
	deliveries int
	out        bool
	ended      bool
	notBefore  time.Time
	until      time.Time
	// last is true once the delivery that follows the end of the time is out.
	last bool
}

var _ worker.Queue = (*Once)(nil)

// NewOnce returns a queue that holds the task, or what could be read of it and
// why it is not valid.
func NewOnce(task tasks.Task, invalid error, traceparent string) *Once {
	return &Once{task: task, invalid: invalid, traceparent: traceparent}
}

// TaskID is the id of the task that the queue holds.
func (q *Once) TaskID() string { return q.task.ID }

// Fetch returns the delivery when it is due, and io.EOF once it has ended. Where
// the context or the limit ends before a delivery that was handed back is due,
// it comes at once and for the last time, so that what has begun can be ended.
func (q *Once) Fetch(ctx context.Context) (worker.Delivery, error) {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	for {
		delivery, wait, err := q.next(ctx.Err() != nil)
		if delivery != nil || err != nil {
			return delivery, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (q *Once) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Limit <= 0 {
		return context.WithCancel(ctx)
	}
	if q.until.IsZero() {
		q.until = time.Now().Add(q.Limit)
	}
	return context.WithDeadline(ctx, q.until)
}

func (q *Once) next(stopped bool) (worker.Delivery, time.Duration, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch wait := time.Until(q.notBefore); {
	case q.ended, q.out, stopped && (q.last || q.deliveries == 0):
		return nil, 0, io.EOF
	case wait > 0 && !stopped:
		return nil, wait, nil
	default:
		q.out, q.last = true, stopped
		q.deliveries++
		return &onceDelivery{queue: q, number: q.deliveries, last: stopped}, 0, nil
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
	last   bool
}

var _ worker.Delivery = (*onceDelivery)(nil)

func (d *onceDelivery) Message() worker.Message {
	return worker.Message{Deliveries: d.number, Traceparent: d.queue.traceparent, Last: d.last}
}

// Crowd knows of none: there is no line.
func (d *onceDelivery) Crowd() *worker.BlockedError { return nil }

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

// Turn takes the leases of all targets. There is no order among tasks that no
// queue holds.
func (d *onceDelivery) Turn(ctx context.Context, holder worker.Holder) (worker.Lease, error) {
	if d.queue.Leases == nil {
		return bundle(nil), nil
	}
	return d.queue.Leases.takeAll(ctx, holder)
}

// Newer is empty: nothing waits behind the only delivery.
func (d *onceDelivery) Newer(context.Context) (string, error) { return "", nil }

// Discard ends the delivery: whoever started it reads the reason in its log.
func (d *onceDelivery) Discard(context.Context, worker.DeadLetter) error {
	d.queue.release(true, 0)
	return nil
}
