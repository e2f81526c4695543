package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

const (
	// nextInLine is how soon the task that goes next asks again, restInLine the
	// rest: tens of thousands of blocked tasks must not keep the server busy.
	nextInLine = 2 * time.Second
	restInLine = 60 * time.Second
)

// Turn takes the lease of the message's target, and gives it back where an
// older message of the target still waits, or where ours is not in the queue any
// more: then somebody else has ended it, or deleted it. The lease is asked first:
// for a blocked message that is one small request, and for one in a crowd there
// is none.
func (d *delivery) Turn(ctx context.Context, holder worker.Holder) (worker.Lease, error) {
	if len(holder.Targets) != 1 {
		return nil, fmt.Errorf("a task in the queue is about one job, not about %d", len(holder.Targets))
	}
	target, own := holder.Targets[0], d.meta.Sequence.Stream
	if blocked := d.crowd(tasks.TargetToken(target), holder.TaskID); blocked != nil {
		return nil, blocked
	}
	taken, err := d.queue.leases.take(ctx, targetKey(target), Grant{TaskID: holder.TaskID, Sequence: own})
	if busy := (*takenError)(nil); errors.As(err, &busy) {
		return nil, d.behind(ctx, target, holder.TaskID, busy)
	}
	if err != nil {
		return nil, err
	}
	first, err := d.oldest(ctx, target)
	if err == nil && first != nil && first.Sequence == own {
		return &turn{lease: taken, delivery: d}, nil
	}
	if released := taken.Release(ctx); err == nil {
		err = released
	}
	switch {
	case err != nil:
		return nil, err
	case first == nil || first.Sequence > own:
		return nil, &worker.BlockedError{Target: target, By: holder.TaskID, Mine: true, After: nextInLine}
	default:
		front := Grant{TaskID: d.idOf(first.Subject), Sequence: first.Sequence}
		return nil, d.behind(ctx, target, holder.TaskID, &takenError{by: front, fence: taken.fence})
	}
}

// turn is the lease of a task in the queue.
type turn struct {
	*lease

	delivery *delivery
	// unseen is true from when the lease has ended until it is ours again and the
	// message was seen after that.
	unseen bool
}

// Renew prolongs the lease, but not one that was taken again without more.
func (t *turn) Renew(ctx context.Context) error {
	if t.unseen {
		return worker.ErrLeaseGone
	}
	return t.lease.Renew(ctx)
}

// Retake also looks whether the message still is in the queue: while it is, no later
// task of the job has its turn. Where somebody has deleted it, one may have had it.
func (t *turn) Retake(ctx context.Context) error {
	t.unseen = true
	if err := t.lease.Retake(ctx); err != nil {
		return err
	}
	stands, err := t.delivery.stands(ctx)
	if err != nil {
		return err
	}
	if !stands {
		_ = t.Release(context.WithoutCancel(ctx)) // it would end by itself
		return worker.ErrLeaseLost
	}
	t.unseen = false
	return nil
}

// stands reports whether the message is in the queue.
func (d *delivery) stands(ctx context.Context) (bool, error) {
	for try := 1; ; try++ {
		stored, err := d.read(ctx)
		if err == nil {
			return stored.Subject == d.msg.Subject(), nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, fmt.Errorf("look for the message on %s: %w", d.msg.Subject(), err)
		}
		if try == unseenTries {
			return false, nil
		}
		if err := pause(ctx, time.Duration(try)*20*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// Crowd looks at what was seen of the job's line a moment ago.
func (d *delivery) Crowd() *worker.BlockedError {
	_, target, id, ok := d.queue.topology.taskParts(d.msg.Subject())
	if !ok || d.meta.NumDelivered > 1 {
		return nil
	}
	return d.crowd(target, id)
}

func (d *delivery) crowd(targetToken, id string) *worker.BlockedError {
	front, crowded := d.queue.crowds.before(targetToken, d.meta.Sequence.Stream)
	if !crowded || front.first.TaskID == id {
		return nil
	}
	return &worker.BlockedError{Target: targetToken, By: front.first.TaskID, After: d.waitBehind(front.first.Sequence), Fence: front.fence}
}

// unseenTries bounds how often the queue is read where our own message is not
// to be seen in it.
const unseenTries = 3

// oldest returns the target's oldest message. Ours is in the queue unless somebody
// has ended or deleted it; an answer without it may be that of a server that has
// just stopped being the leader, so it is not believed at once.
func (d *delivery) oldest(ctx context.Context, target string) (*jetstream.RawStreamMsg, error) {
	for try := 1; ; try++ {
		first, err := d.next(ctx, target, 1)
		seen := first != nil && first.Sequence <= d.meta.Sequence.Stream
		if err != nil || seen || try == unseenTries {
			return first, err
		}
		if err := pause(ctx, time.Duration(try)*20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// behind says for whom the message waits and for how long.
func (d *delivery) behind(ctx context.Context, target, id string, busy *takenError) error {
	by := busy.by
	blocked := &worker.BlockedError{Target: target, By: by.TaskID, Mine: by.TaskID == id, After: nextInLine, Fence: busy.fence}
	if blocked.Mine {
		return blocked
	}
	next, err := d.next(ctx, target, by.Sequence+1)
	if err != nil {
		return err
	}
	if next != nil && next.Sequence < d.meta.Sequence.Stream {
		blocked.After = d.waitBehind(by.Sequence)
		d.queue.crowds.saw(tasks.TargetToken(target), by, busy.fence, next.Sequence)
	}
	return blocked
}

// waitBehind grows with the distance to the one in front, which is the most
// that can stand between.
func (d *delivery) waitBehind(front uint64) time.Duration {
	distance := max(d.meta.Sequence.Stream-min(front, d.meta.Sequence.Stream), 1)
	wait := min(nextInLine*time.Duration(min(distance, 30)), restInLine)
	return wait + rand.N(wait/8)
}

// next returns the target's oldest message from a sequence on; nil where there
// is none.
func (d *delivery) next(ctx context.Context, target string, from uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	subject := d.queue.topology.TaskSubject("*", tasks.TargetToken(target), "*")
	msg, err := d.queue.stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the older messages of job %s: %w", target, err)
	}
	return msg, nil
}

// Newer returns the id of the newest message of the target where that is a
// deployment behind this one that can be read.
func (d *delivery) Newer(ctx context.Context) (string, error) {
	_, target, _, ok := d.queue.topology.taskParts(d.msg.Subject())
	if !ok {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	msg, err := d.queue.stream.GetLastMsgForSubject(ctx, d.queue.topology.TaskSubject("*", target, "*"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for newer messages of job %s: %w", target, err)
	}
	kind, _, id, ok := d.queue.topology.taskParts(msg.Subject)
	if !ok || msg.Sequence <= d.meta.Sequence.Stream || !tasks.Kind(kind).IsDeploy() {
		return "", nil
	}
	if _, err := decode(msg.Data, kind, target, id); err != nil {
		id = "" // a dead letter takes nobody's place
	}
	return id, nil
}

func (d *delivery) idOf(subject string) string {
	_, _, id, _ := d.queue.topology.taskParts(subject)
	return id
}

// takeAll takes the leases of several targets in one order for everybody, or
// none of them.
func (l *Leases) takeAll(ctx context.Context, holder worker.Holder) (worker.Lease, error) {
	var all bundle
	for _, target := range inOrder(holder.Targets) {
		taken, err := l.take(ctx, targetKey(target), Grant{TaskID: holder.TaskID})
		if err == nil {
			all = append(all, taken)
			continue
		}
		_ = all.Release(context.WithoutCancel(ctx))
		if busy := (*takenError)(nil); errors.As(err, &busy) {
			return nil, &worker.BlockedError{Target: target, By: busy.by.TaskID, Mine: busy.by.TaskID == holder.TaskID, After: nextInLine, Fence: busy.fence}
		}
		return nil, err
	}
	return all, nil
}

// inOrder returns each target once, in an order that is everybody's.
func inOrder(targets []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(targets)))
}
