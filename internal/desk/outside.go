package desk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// once reads the sign of life of the run-once of a task; nil where there is none.
func (d *Desk) once(ctx context.Context, id string) (*queue.WorkerInfo, error) {
	bucket := d.topology.Leases()
	sign, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, queue.OnceKey(id)))
	if err != nil || sign == nil {
		return nil, absent(err)
	}
	var info queue.WorkerInfo
	if err := json.Unmarshal(sign.Data, &info); err != nil {
		return nil, fmt.Errorf("read the sign of life of the run-once of %s: %w", id, err)
	}
	return &info, nil
}

// addBeginning says where a task is that a run-once is there for, and has not begun:
// it has neither a message nor a run before its turn comes.
func (d *Desk) addBeginning(ctx context.Context, v *TaskView) error {
	once, err := d.once(ctx, v.TaskID)
	if err != nil || once == nil {
		return err
	}
	v.Why = Why{State: StateRunnable, Worker: once.ID, Text: fmt.Sprintf("a run-once (worker %s) is about to begin it", once.ID)}
	newest, err := d.lastEvent(ctx, v.TaskID, "*")
	if err != nil || newest == nil || newest.Event != events.EventWaiting {
		return err
	}
	v.Since = &newest.stored
	if newest.Behind == "" {
		v.Why = cannotBegin(StateRunnable, *newest, "")
		return nil
	}
	v.Why, err = d.behindEvent(ctx, v, *newest)
	v.Text = fmt.Sprintf("a run-once (worker %s) waits for its turn: %s", once.ID, v.Text)
	return err
}

// behindEvent says behind which task another one stands that has said so. That is
// said once or twice only: by now the other one may have ended.
func (d *Desk) behindEvent(ctx context.Context, v *TaskView, waiting storedEvent) (Why, error) {
	h, err := d.hands(ctx)
	if absent(err) != nil {
		return Why{}, err
	}
	for _, g := range h.grants {
		if g.TaskID == waiting.Behind {
			front, err := d.holder(ctx, &snapshot{hands: h, uncovered: v.uncovered}, g, head{})
			return behindHolder(g.TaskID, front), err
		}
	}
	text := fmt.Sprintf("it was behind task %s of the same job when it last said so", waiting.Behind)
	return Why{State: StateBlocked, Cause: CauseBehind, Behind: waiting.Behind, Text: text}, nil
}

// addOutsidePlace says where a task is that has a run and no message.
func (d *Desk) addOutsidePlace(ctx context.Context, v *TaskView) error {
	h, err := d.hands(ctx)
	if absent(err) != nil {
		return err
	}
	s := &snapshot{hands: h, uncovered: v.uncovered}
	v.Since = v.Started
	for _, g := range h.grants {
		if g.TaskID == v.TaskID {
			v.Why, err = d.running(ctx, s, g, head{kind: tasks.Kind(v.Task)}, false)
			return err
		}
	}
	if v.Run.WorkerLives {
		v.Why, err = d.betweenAttempts(ctx, v)
		return err
	}
	v.Why = Why{State: StateRetry, Cause: CauseWorkerLost, Worker: v.Run.Worker}
	v.Text = fmt.Sprintf("was with worker %s, which has died, and no message brings it back; it %s", v.Run.Worker, s.afterDeath(head{}, false))
	return nil
}

// betweenAttempts says when a run-once that lives tries its task again. An event that
// is older than the run's record is of an earlier attempt.
func (d *Desk) betweenAttempts(ctx context.Context, v *TaskView) (Why, error) {
	text := fmt.Sprintf("is with worker %s, between two attempts", v.Run.Worker)
	back, err := d.lastEvent(ctx, v.TaskID, events.EventRetry)
	if back == nil || err != nil || back.stored.Before(*v.touched) {
		return Why{State: StateRetry, Cause: CauseHandedBack, Worker: v.Run.Worker, Text: text}, err
	}
	why := handedBack(*back)
	why.Worker = v.Run.Worker
	why.Text = fmt.Sprintf("%s: the last %s", text, why.Text)
	return why, nil
}
