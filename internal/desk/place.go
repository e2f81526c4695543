package desk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// addPlace says where a task is that has not ended.
func (d *Desk) addPlace(ctx context.Context, v *TaskView) error {
	switch {
	case v.State != "":
		return nil
	case v.subject != "":
		return d.addQueuePlace(ctx, v)
	case v.Run != nil:
		return d.addOutsidePlace(ctx, v)
	case len(v.Letters) > 0:
		last := v.Letters[len(v.Letters)-1]
		v.Why = Why{State: StateDeadLetter, Reason: last.Reason, Message: last.Message, Text: "is a dead letter: " + string(last.Reason)}
		v.Since = &last.Stored
		return nil
	}
	v.Why = Why{State: StateUnknown, Text: "nothing is known of it: it is not queued, does not run, and has not ended within the last 90 days"}
	if v.Cancel != nil {
		v.Text += "; a request to cancel it counts when it comes"
	}
	return nil
}

// addQueuePlace says where in the queue a task is.
func (d *Desk) addQueuePlace(ctx context.Context, v *TaskView) error {
	s, err := d.lookAt(ctx, v)
	if err != nil {
		return err
	}
	first, err := d.leader.next(ctx, d.topology.Tasks(), d.filterOf(v.Job), 1)
	if err != nil {
		return err
	}
	own, err := d.leader.last(ctx, d.topology.Tasks(), v.subject)
	if err != nil {
		return err
	}
	if first == nil || own == nil {
		v.Why = Why{State: StateEnding, Text: "moves just now: ask again"}
		return nil
	}
	v.Why, err = d.why(ctx, s, place{line: s.at(v.Job), first: d.headOf(first), own: d.headOf(own)})
	switch {
	case v.State == StateRunning && v.Started != nil:
		v.Since = v.Started
	case v.State == StateRetry && v.Until != nil:
		v.Since = v.touched // the record is written last where a task is handed back
	case v.State != StateRetry: // nobody knows when a worker was lost
		v.Since = v.Queued
	}
	return err
}

// lookAt is a snapshot of one job: nothing is listed but workers and leases.
func (d *Desk) lookAt(ctx context.Context, v *TaskView) (*snapshot, error) {
	s := &snapshot{taken: v.At, jobs: map[string]*line{}, runs: map[string]bool{v.TaskID: v.Run != nil}, uncovered: v.uncovered}
	var err error
	if s.consumer, err = d.leader.consumer(ctx, d.topology.Tasks(), d.topology.Consumer()); err != nil {
		return nil, err
	}
	if s.hands, err = d.hands(ctx); absent(err) != nil {
		return nil, err
	}
	s.sort(d.topology)
	first, err := d.leader.next(ctx, d.topology.Tasks(), d.filterOf(v.Job), 1)
	if err != nil || first == nil {
		return s, err
	}
	if _, id := placeOf(d.topology, first.Subject); id != "" && id != v.TaskID {
		run, err := d.leader.last(ctx, queue.BucketStream(d.topology.Runs()), queue.KeySubject(d.topology.Runs(), id))
		if absent(err) != nil {
			return nil, err
		}
		s.runs[id] = run != nil
	}
	return s, nil
}

// hasWorker returns the worker of a run and whether it lives. A run-once that was
// started again has another name than the one that claimed the run.
func (d *Desk) hasWorker(ctx context.Context, id string, run queue.OpenRun) (name string, lives bool, err error) {
	bucket := d.topology.Leases()
	once, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, queue.OnceKey(id)))
	if absent(err) != nil {
		return "", false, err
	}
	if once != nil {
		var info queue.WorkerInfo
		if err := json.Unmarshal(once.Data, &info); err != nil {
			return "", false, fmt.Errorf("read the sign of life of the run-once of %s: %w", id, err)
		}
		return info.ID, true, nil
	}
	alive, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, queue.WorkerKey(run.Worker)))
	return run.Worker, alive != nil, absent(err)
}

// addOutsidePlace says where a task is that has a run and no message.
func (d *Desk) addOutsidePlace(ctx context.Context, v *TaskView) error {
	h, err := d.hands(ctx)
	if absent(err) != nil {
		return err
	}
	s := &snapshot{hands: h, taken: v.At, uncovered: v.uncovered}
	v.Since = v.Started
	for _, g := range h.grants {
		if g.TaskID == v.TaskID {
			v.Why, err = d.running(ctx, s, g, head{kind: tasks.Kind(v.Task)}, false)
			return err
		}
	}
	v.Why = Why{State: StateRetry, Cause: CauseWorkerLost, Worker: v.Run.Worker}
	v.Text = fmt.Sprintf("was with worker %s, which has died, and no message brings it back; it %s", v.Run.Worker, s.afterDeath(head{}, false))
	if v.Run.WorkerLives {
		v.Cause, v.Text = CauseHandedBack, fmt.Sprintf("is with worker %s, between two attempts", v.Run.Worker)
	}
	return nil
}
