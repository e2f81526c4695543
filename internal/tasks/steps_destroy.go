package tasks

import "context"

// destroy removes every job of the task. One that cannot be removed does not
// stop the rest and does not fail the task; only where trying again may help
// does the task come back.
func (h *Handler) destroy(ctx context.Context, r *run) error {
	r.result.Destroyed, r.result.Undestroyed = nil, nil
	var again error
	for _, job := range r.task.Destroy.Jobs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := h.destroyOne(ctx, r, job)
		if err == nil {
			r.result.Destroyed = append(r.result.Destroyed, job)
			r.say("job %s is gone", job.JobID)
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		failure := AsFailure(err)
		if failure.Row().Class == ClassLeaseLost {
			return failure
		}
		r.result.Undestroyed = append(r.result.Undestroyed, Undestroyed{Job: job, Failure: failure})
		r.warn("job %s is not destroyed: %s", job.JobID, failure.Message)
		if failure.Row().Retryable() {
			again = err
		}
	}
	if r.at.Last {
		return nil
	}
	return again
}

func (h *Handler) destroyOne(ctx context.Context, r *run, job DestroyJob) error {
	at := Cluster{Address: job.NomadAddress, Token: job.NomadToken}
	return h.policy.Retry.run(ctx, r.rep.Stderr(), func(ctx context.Context) error {
		return h.parts.Deployer.Destroy(ctx, at, DestroySpec{JobID: job.JobID, Guard: r.at.Guard}, r.rep)
	})
}
