package nomad

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

const (
	// feedPause keeps a feed from spinning: the index of a list is its whole
	// table's, so that other jobs' changes wake it too.
	feedPause = 250 * time.Millisecond
	// feedCount is how many feeds there are.
	feedCount = 4
	// feedBackoff is the longest pause after failed requests.
	feedBackoff = 5 * time.Second
)

// startFeeds keeps four blocking queries going until the context ends.
func (w *watcher) startFeeds(ctx context.Context, group *sync.WaitGroup) {
	jobs, id := w.s.api.Jobs(), w.s.job
	group.Go(func() {
		feed(ctx, w, "job", func(q *api.QueryOptions) (*api.Job, *api.QueryMeta, error) {
			job, meta, err := jobs.Info(id, q)
			if err == nil && job.ID == nil {
				err = errNotAJob
			}
			return job, meta, err
		}, func(v *view, job *api.Job) { v.job, v.jobGone = job, job == nil })
	})
	group.Go(func() {
		feed(ctx, w, "deployments", func(q *api.QueryOptions) ([]*api.Deployment, *api.QueryMeta, error) {
			return jobs.Deployments(id, false, q)
		}, func(v *view, list []*api.Deployment) { v.deployments = list })
	})
	group.Go(func() {
		feed(ctx, w, "allocations", func(q *api.QueryOptions) ([]*api.AllocationListStub, *api.QueryMeta, error) {
			return jobs.Allocations(id, false, q)
		}, func(v *view, list []*api.AllocationListStub) { v.allocs = list })
	})
	group.Go(func() {
		feed(ctx, w, "evaluations", func(q *api.QueryOptions) ([]*api.Evaluation, *api.QueryMeta, error) {
			return jobs.Evaluations(id, q)
		}, func(v *view, list []*api.Evaluation) { v.evals = list })
	})
}

// feed repeats one blocking query and hands each answer to the watcher. A
// missing object is the zero value, not an error.
func feed[T any](ctx context.Context, w *watcher, name string,
	query func(*api.QueryOptions) (T, *api.QueryMeta, error), apply func(*view, T),
) {
	var index uint64
	delay := feedPause
	for {
		result, next, err := block(ctx, w.s, index, query)
		if isNotFound(err) {
			var zero T
			result, next, err = zero, 0, nil
		}
		index = next
		if err != nil {
			delay = min(2*delay, feedBackoff)
		} else {
			delay = feedPause
		}
		answer := update{feed: name, apply: func(v *view) { apply(v, result) }, err: err}
		select {
		case w.updates <- answer:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, jitter(delay)) {
			return
		}
	}
}
