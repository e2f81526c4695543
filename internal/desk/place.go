package desk

import (
	"context"

	"github.com/dispatchd/dispatchd/internal/queue"
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
	}
	if err := d.addBeginning(ctx, v); v.State != "" || err != nil {
		return err
	}
	if len(v.Letters) > 0 {
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
	s, first, err := d.lookAt(ctx, v)
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

// lookAt is a snapshot of one job, and the job's first message, nil where it has
// none: nothing is listed but workers and leases.
func (d *Desk) lookAt(ctx context.Context, v *TaskView) (s *snapshot, first *message, err error) {
	s = &snapshot{jobs: map[string]*line{}, runs: map[string]bool{v.TaskID: v.Run != nil}, uncovered: v.uncovered}
	if s.consumer, err = d.leader.consumer(ctx, d.topology.Tasks(), d.topology.Consumer()); err != nil {
		return nil, nil, err
	}
	if s.hands, err = d.hands(ctx); absent(err) != nil {
		return nil, nil, err
	}
	s.sort(d.topology)
	if first, err = d.leader.next(ctx, d.topology.Tasks(), d.filterOf(v.Job), 1); err != nil || first == nil {
		return s, first, err
	}
	if _, id := placeOf(d.topology, first.Subject); id != "" && id != v.TaskID {
		run, err := d.runRecord(ctx, id)
		if absent(err) != nil {
			return nil, nil, err
		}
		s.runs[id] = run != nil
	}
	return s, first, nil
}

// hasWorker returns the worker of a run and whether it lives. A run-once that was
// started again has another name than the one that claimed the run.
func (d *Desk) hasWorker(ctx context.Context, id string, run queue.OpenRun) (name string, lives bool, err error) {
	once, err := d.once(ctx, id)
	if err != nil {
		return "", false, err
	}
	if once != nil {
		return once.ID, true, nil
	}
	bucket := d.topology.Leases()
	alive, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, queue.WorkerKey(run.Worker)))
	return run.Worker, alive != nil, absent(err)
}
