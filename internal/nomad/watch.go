package nomad

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// tick is how often the graces are looked at while Nomad has nothing new.
const tick = 100 * time.Millisecond

// Watch follows the registered version until it is healthy, and returns a
// failure when it cannot become so. The allocations' events and output go to
// the reporter while it runs. An outage of Nomad is waited out for a while.
func (c *Client) Watch(ctx context.Context, at tasks.Cluster, reg tasks.Registration, rep tasks.Reporter) (tasks.Deployed, error) {
	s, err := c.open(at, reg.JobID)
	if err != nil {
		return tasks.Deployed{}, err
	}
	w := newWatcher(s, reg, rep)
	defer w.logs.finish(ctx)
	return w.run(ctx)
}

// watcher is one Watch. Only the goroutine of run touches its fields; the
// feeds hand it what they read.
type watcher struct {
	s       *session
	reg     tasks.Registration
	out     *printer
	logs    *followers
	updates chan update

	view   view
	tracks map[string]*track
	// checked counts the allocations whose checks were read.
	checked int
	// spec is the job as we registered it; taskID is in its meta.
	spec   *api.Job
	taskID string

	graces  graces
	outages map[string]time.Time
	// answered are the feeds that have answered once.
	answered map[string]bool
	// verdict is why the deployment is hopeless, once we asked Nomad to fail it.
	verdict *finding
	said    map[string]bool
}

// view is the newest that Nomad said.
type view struct {
	job         *api.Job
	jobGone     bool
	deployments []*api.Deployment
	allocs      []*api.AllocationListStub
	evals       []*api.Evaluation
}

// update is one answer, or one failed request, of a feed.
type update struct {
	feed  string
	apply func(*view)
	err   error
}

func newWatcher(s *session, reg tasks.Registration, rep tasks.Reporter) *watcher {
	out := newPrinter(rep)
	return &watcher{
		s:        s,
		reg:      reg,
		out:      out,
		logs:     newFollowers(s, out),
		updates:  make(chan update),
		tracks:   map[string]*track{},
		graces:   graces{},
		outages:  map[string]time.Time{},
		answered: map[string]bool{},
		said:     map[string]bool{},
	}
}

// run feeds the view and judges it after each change and each tick. The feeds
// and the followers of the output end with it: all it starts, also late, hangs
// on the context that it ends.
func (w *watcher) run(ctx context.Context) (tasks.Deployed, error) {
	feeding, stop := context.WithCancel(ctx)
	var feeds sync.WaitGroup
	defer feeds.Wait()
	defer stop()
	w.startFeeds(feeding, &feeds)

	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return tasks.Deployed{}, context.Cause(ctx)
		case next := <-w.updates:
			if err := w.take(feeding, next); err != nil {
				return tasks.Deployed{}, err
			}
		case <-ticker.C:
		}
		if done, deployed, err := w.judge(feeding); done {
			return deployed, err
		}
	}
}

// take brings an answer into the view. An error ends the watch where asking
// again cannot help, or has not helped for too long.
func (w *watcher) take(ctx context.Context, next update) error {
	if next.err == nil {
		if len(w.outages) > 0 {
			if delete(w.outages, next.feed); len(w.outages) == 0 {
				w.out.note("Nomad answers again")
			}
		}
		w.answered[next.feed] = true
		next.apply(&w.view)
		w.look(ctx)
		return nil
	}
	failure := w.s.wrap(ctx, "watch the "+next.feed, next.err)
	if isForbidden(next.err) || ctx.Err() != nil {
		return failure
	}
	if len(w.outages) == 0 {
		w.out.warn("Nomad does not answer: " + plain(next.err))
	}
	if _, down := w.outages[next.feed]; !down {
		w.outages[next.feed] = time.Now()
	}
	if time.Since(w.outages[next.feed]) > w.s.opts.UnavailableLimit {
		return failure
	}
	return nil
}

// judge decides whether the watch is over.
func (w *watcher) judge(ctx context.Context) (bool, tasks.Deployed, error) {
	if w.view.jobGone {
		return true, tasks.Deployed{}, w.fail(ctx, finding{reason: tasks.ReasonJobStopped, message: "the job was removed while it was deployed"})
	}
	if len(w.answered) < feedCount {
		return false, tasks.Deployed{}, nil
	}
	if err := w.learn(ctx); err != nil || w.spec == nil {
		return err != nil, tasks.Deployed{}, err
	}
	state, found := w.state()
	if state == stateFailing {
		w.endDeployment(ctx, found)
		return false, tasks.Deployed{}, nil
	}
	if state == stateHealthy {
		return true, w.deployed(), nil
	}
	if state == stateFailed {
		w.refresh(ctx)
		_, found = w.state()
		return true, tasks.Deployed{}, w.fail(ctx, found)
	}
	return false, tasks.Deployed{}, nil
}

// learn finds the job as it was registered, and moves on to a newer version
// that is still the same task's.
func (w *watcher) learn(ctx context.Context) error {
	job := w.view.job
	if w.spec == nil && value(job.JobModifyIndex) == w.reg.ModifyIndex {
		w.spec = job
	}
	if w.spec == nil {
		versions, err := w.s.versions(ctx)
		if err != nil && reasonOf(err) == tasks.ReasonNomadDown && !isNotFound(err) {
			return nil
		}
		for _, version := range versions {
			if value(version.JobModifyIndex) == w.reg.ModifyIndex {
				w.spec = version
			}
		}
		if w.spec == nil {
			return w.fail(ctx, superseded(value(job.Version), w.reg.JobVersion))
		}
	}
	w.taskID = w.spec.Meta[metaTaskID]
	w.adopt(job)
	return nil
}

// adopt follows a newer version that carries our task's id: somebody, an
// autoscaler for example, scaled the job while it was deployed.
func (w *watcher) adopt(job *api.Job) {
	newer := value(job.Version) > w.reg.JobVersion && !value(job.Stop)
	if !newer || w.taskID == "" || job.Meta[metaTaskID] != w.taskID {
		return
	}
	if d := w.deployment(); d != nil && (d.Status == api.DeploymentStatusSuccessful || d.Status == api.DeploymentStatusFailed) {
		return
	}
	w.out.note(fmt.Sprintf("version %d of the job follows version %d: it was scaled", value(job.Version), w.reg.JobVersion))
	w.reg.JobVersion, w.reg.ModifyIndex = value(job.Version), value(job.JobModifyIndex)
	w.spec, w.graces, w.verdict = job, graces{}, nil
}

// refresh reads the allocations once more before a failure is explained: their
// feed may be a moment behind the one that brought the verdict.
func (w *watcher) refresh(ctx context.Context) {
	allocs, err := get(ctx, w.s, func(q *api.QueryOptions) ([]*api.AllocationListStub, *api.QueryMeta, error) {
		return w.s.api.Jobs().Allocations(w.s.job, false, q)
	})
	if err == nil {
		w.view.allocs = allocs
		w.look(ctx)
	}
}

// endDeployment asks Nomad to fail a deployment that it would only keep waiting
// for, so that what we report is true there too; it reverts where it shall.
func (w *watcher) endDeployment(ctx context.Context, found finding) {
	w.verdict = &found
	deployment := w.deployment()
	w.out.warn("the deployment cannot succeed any more: " + found.message)
	_, err := put(ctx, w.s, func(q *api.WriteOptions) (*api.DeploymentUpdateResponse, *api.WriteMeta, error) {
		return w.s.api.Deployments().Fail(deployment.ID, q)
	})
	if err != nil {
		w.out.warn("Nomad was asked to fail the deployment, and did not: " + plain(err))
	}
}

// fail makes the failure that ends the watch.
func (w *watcher) fail(ctx context.Context, found finding) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failure := w.s.fail(found.reason, found.message, found.err)
	failure.RolledBackTo = found.rolledBackTo
	return failure
}

func (w *watcher) deployed() tasks.Deployed {
	result := tasks.Deployed{JobVersion: w.reg.JobVersion}
	if d := w.deployment(); d != nil {
		result.DeploymentID = d.ID
	}
	for _, alloc := range w.ours() {
		if alloc.DesiredStatus == api.AllocDesiredStatusRun {
			result.Allocations = append(result.Allocations, alloc.ID)
		}
	}
	return result
}

// graces remembers since when a condition holds.
type graces map[string]time.Time

// held reports whether the condition has held without a break for so long.
func (g graces) held(condition string, holds bool, long time.Duration) bool {
	if !holds {
		delete(g, condition)
		return false
	}
	since, known := g[condition]
	if !known {
		g[condition] = time.Now()
		return long <= 0
	}
	return time.Since(since) >= long
}
