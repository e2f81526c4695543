package nomad

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// destroyPoll is how often the allocations of a stopped job are looked at.
const destroyPoll = 250 * time.Millisecond

// Destroy stops the job and its children, waits until none of their
// allocations runs any more, and purges them: the parent last, so that an
// interrupted destroy finds the rest. A job that does not exist is nil.
func (c *Client) Destroy(ctx context.Context, at tasks.Cluster, spec tasks.DestroySpec, rep tasks.Reporter) error {
	s, err := c.open(at, spec.JobID)
	if err != nil {
		return err
	}
	d := &destroyer{s: s, out: newPrinter(rep), guard: spec.Guard}
	return s.wrap(ctx, "destroy", d.run(ctx))
}

// destroyer is one Destroy.
type destroyer struct {
	s     *session
	out   *printer
	guard tasks.Guard
}

func (d *destroyer) run(ctx context.Context) error {
	job, err := d.s.jobInfo(ctx, d.s.job)
	if err != nil {
		return err
	}
	if job != nil {
		if err := d.stop(ctx, d.s.job); err != nil {
			return err
		}
	}
	children, err := d.children(ctx, job)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := d.stop(ctx, child); err != nil {
			return err
		}
	}
	targets := children
	if job != nil {
		targets = append(targets, d.s.job)
	}
	if len(targets) == 0 {
		d.out.note(fmt.Sprintf("job %s does not exist", d.s.job))
		return nil
	}
	if err := d.waitForAll(ctx, targets); err != nil {
		return err
	}
	return d.purge(ctx, targets)
}

// stop stops a job by check-and-set, unless it is stopped already.
func (d *destroyer) stop(ctx context.Context, id string) error {
	for attempt := 1; ; attempt++ {
		job, err := d.s.jobInfo(ctx, id)
		if err != nil || job == nil || value(job.Stop) {
			return err
		}
		if err := d.guard.Ask(ctx); err != nil {
			return err
		}
		d.out.note(fmt.Sprintf("job %s: stopping version %d", id, value(job.Version)))
		err = d.registerStopped(ctx, job)
		if reasonIs(err, tasks.ReasonJobRejected) {
			// A spec that Nomad took once it may refuse today: the plain way to
			// stop does not look at it.
			err = d.deregister(ctx, id, false)
		}
		if !isConflict(err) {
			return err
		}
		if attempt == registerAttempts {
			return d.s.fail(tasks.ReasonJobConflict, fmt.Sprintf("it was changed by somebody else at each of %d attempts to stop it", attempt), err)
		}
		if !pause(ctx, jitter(time.Duration(attempt)*100*time.Millisecond)) {
			return context.Cause(ctx)
		}
	}
}

func reasonIs(err error, reason tasks.Reason) bool {
	return err != nil && reasonOf(err) == reason
}

func (d *destroyer) registerStopped(ctx context.Context, job *api.Job) error {
	stopped := true
	job.Stop = &stopped
	options := &api.RegisterOptions{EnforceIndex: true, ModifyIndex: value(job.JobModifyIndex), PreserveCounts: true}
	_, err := put(ctx, d.s, func(q *api.WriteOptions) (*api.JobRegisterResponse, *api.WriteMeta, error) {
		return d.s.api.Jobs().RegisterOpts(job, options, q)
	})
	return err
}

func (d *destroyer) deregister(ctx context.Context, id string, purge bool) error {
	_, err := put(ctx, d.s, func(q *api.WriteOptions) (string, *api.WriteMeta, error) {
		return d.s.api.Jobs().Deregister(id, purge, q)
	})
	return err
}

// children lists the jobs that the job launched. They outlive their parent,
// and only the list of jobs shows them. For a job that launches none a token
// without the right to list is no hindrance.
func (d *destroyer) children(ctx context.Context, parent *api.Job) ([]string, error) {
	if parent != nil && !parent.IsPeriodic() && !parent.IsParameterized() {
		return nil, nil
	}
	stubs, err := get(ctx, d.s, func(q *api.QueryOptions) ([]*api.JobListStub, *api.QueryMeta, error) {
		q.Prefix = d.s.job + "/"
		return d.s.api.Jobs().List(q)
	})
	if parent == nil && isForbidden(err) {
		return nil, nil
	}
	var ids []string
	for _, stub := range stubs {
		if stub.ParentID == d.s.job && isChildID(d.s.job, stub.ID) {
			ids = append(ids, stub.ID)
		}
	}
	return ids, err
}

func isChildID(parent, id string) bool {
	return strings.HasPrefix(id, parent+api.JobPeriodicLaunchSuffix) || strings.HasPrefix(id, parent+api.JobDispatchLaunchSuffix)
}

// waitForAll waits, under one limit, until the allocations of each job have ended.
func (d *destroyer) waitForAll(ctx context.Context, ids []string) error {
	deadline := time.Now().Add(d.s.opts.DestroyTimeout)
	for _, id := range ids {
		if err := d.wait(ctx, id, deadline); err != nil {
			return err
		}
	}
	return nil
}

// wait polls until the scheduler has nothing left to do for the job and each
// allocation has ended on its node. What the servers want of an allocation
// does not count: it still runs then.
func (d *destroyer) wait(ctx context.Context, id string, deadline time.Time) error {
	var silent time.Time
	said := -1
	for {
		pending, left, err := d.left(ctx, id)
		switch {
		case err == nil && !pending && len(left) == 0:
			return nil
		case err == nil:
			silent = time.Time{}
			if len(left) != said {
				said = len(left)
				d.out.note(fmt.Sprintf("job %s: %d allocations have not ended yet", id, said))
			}
		case isForbidden(err) || ctx.Err() != nil:
			return err
		case silent.IsZero():
			silent = time.Now()
		case time.Since(silent) > d.s.opts.UnavailableLimit:
			return err
		}
		if time.Now().After(deadline) {
			if err != nil {
				return err
			}
			return d.incomplete(id, left)
		}
		if !pause(ctx, destroyPoll) {
			return context.Cause(ctx)
		}
	}
}

// left reads whether an evaluation is still to come, and which allocations
// have not ended.
func (d *destroyer) left(ctx context.Context, id string) (pending bool, left []*api.AllocationListStub, err error) {
	evals, err := get(ctx, d.s, func(q *api.QueryOptions) ([]*api.Evaluation, *api.QueryMeta, error) {
		return d.s.api.Jobs().Evaluations(id, q)
	})
	if err != nil {
		return false, nil, err
	}
	for _, eval := range evals {
		// A delayed reschedule of a crashed allocation waits for its time and then
		// finds the job stopped: it places nothing.
		pending = pending || (eval.Status == api.EvalStatusPending && eval.WaitUntil.IsZero())
	}
	allocs, err := get(ctx, d.s, func(q *api.QueryOptions) ([]*api.AllocationListStub, *api.QueryMeta, error) {
		return d.s.api.Jobs().Allocations(id, true, q)
	})
	for _, alloc := range allocs {
		if !hasEnded(alloc) {
			left = append(left, alloc)
		}
	}
	return pending, left, err
}

func hasEnded(alloc *api.AllocationListStub) bool {
	switch alloc.ClientStatus {
	case api.AllocClientStatusComplete, api.AllocClientStatusFailed, api.AllocClientStatusLost:
		return true
	}
	return false
}

func (d *destroyer) incomplete(id string, left []*api.AllocationListStub) error {
	if len(left) == 0 {
		return d.s.fail(tasks.ReasonDestroyIncomplete, fmt.Sprintf("Nomad has not evaluated the stop of %s within %s", id, d.s.opts.DestroyTimeout), nil)
	}
	var names []string
	for _, alloc := range left {
		names = append(names, fmt.Sprintf("%.8s on node %s is %s", alloc.ID, alloc.NodeName, alloc.ClientStatus))
	}
	if len(names) > 5 {
		names = append(names[:5], fmt.Sprintf("and %d more", len(names)-5))
	}
	return d.s.fail(tasks.ReasonDestroyIncomplete,
		fmt.Sprintf("%d allocations did not end within %s: %s", len(left), d.s.opts.DestroyTimeout, strings.Join(names, ", ")), nil)
}

// purge removes the stopped jobs, but none that was registered again meanwhile.
func (d *destroyer) purge(ctx context.Context, ids []string) error {
	for _, id := range ids {
		job, err := d.s.jobInfo(ctx, id)
		if err != nil {
			return err
		}
		if job == nil {
			continue
		}
		if !value(job.Stop) {
			return d.s.fail(tasks.ReasonJobConflict, fmt.Sprintf("%s was registered again while it was destroyed", id), nil)
		}
		if err := d.guard.Ask(ctx); err != nil {
			return err
		}
		if err := d.deregister(ctx, id, true); err != nil {
			return err
		}
		d.out.note(fmt.Sprintf("job %s: purged", id))
	}
	return nil
}
