package main

import (
	"context"
	"time"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
	"github.com/dispatchd/dispatchd/test/chaos/plan"
)

// once starts a run-once and kills it some time after it has begun; nobody
// starts it again. It is accepted once its run is recorded.
func (d *driver) once(ctx context.Context, t plan.Task) {
	name := "once-" + t.TaskID
	env := append([]string{
		"DISPATCHD_WORKER_ID=" + name, "NOMAD_META_TASK=" + t.Kind, "NOMAD_META_PARAMS=" + params(t), "NOMAD_JOB_ID=deploy/" + t.TaskID,
	}, d.fleet.env...)
	proc, err := d.fleet.run(d.fleet.binary, d.cluster.urls(), name, env, "run-once")
	if err != nil {
		d.log.Printf("start a run-once: %v", err)
		return
	}
	defer proc.kill()
	if !d.began(ctx, t.TaskID, proc) {
		return
	}
	t.At = time.Now()
	told := t.Accepted
	if t.KillAfter > 0 {
		pause(ctx, t.KillAfter)
		at := time.Now()
		proc.kill()
		d.story.tell(ctx, effect.FaultSubject, effect.Fault{Kind: "kill-once", Victim: name, At: at, Until: at})
	}
	d.story.tell(ctx, effect.AcceptedSubject, told)
	select {
	case <-proc.done:
	case <-ctx.Done():
	}
}

// began waits until the task's run is recorded, or its process has ended.
func (d *driver) began(ctx context.Context, id string, proc *process) bool {
	for ctx.Err() == nil {
		if d.story.has(ctx, "KV_dispatch_run", "$KV.dispatch_run."+id) || d.story.has(ctx, "DISPATCH_EVENTS", "dispatch.done."+id) {
			return true
		}
		select {
		case <-proc.done:
			return d.story.has(ctx, "DISPATCH_EVENTS", "dispatch.done."+id)
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return false
}
