package nomad

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// maxEvents bounds what is remembered of one task; Nomad itself keeps 10.
	maxEvents = 200
	// maxTracks bounds the allocations whose events are shown.
	maxTracks = 100
	// maxChecked bounds the allocations whose checks are read, and checksTimeout
	// how long a node may take to answer: the watch waits for it.
	maxChecked    = 5
	checksTimeout = 3 * time.Second
)

// finding is why an app does not become healthy; its zero value is no finding.
type finding struct {
	reason  tasks.Reason
	message string
	err     error
	// weight ranks findings: the heavier one explains more.
	weight       int
	rolledBackTo *uint64
}

// track is what is remembered of one allocation of our version. Nomad keeps
// the last ten events of a task, so that a restart loop pushes its own cause
// out of them.
type track struct {
	alloc  *api.AllocationListStub
	events map[string][]*api.TaskEvent
	checks []api.AllocCheckStatus
	// checked is true once the checks of the unhealthy allocation were read.
	checked bool
}

// look takes in the newest allocations: it shows their new events, begins to
// follow their output and reads the checks of those that are unhealthy.
func (w *watcher) look(ctx context.Context) {
	allocs := w.ours()
	slices.SortFunc(allocs, func(a, b *api.AllocationListStub) int { return cmp.Compare(a.CreateIndex, b.CreateIndex) })
	for _, alloc := range allocs {
		t := w.tracks[alloc.ID]
		if t == nil {
			if len(w.tracks) == maxTracks {
				w.sayOnce(fmt.Sprintf("more than %d allocations: the rest is not shown", maxTracks))
				continue
			}
			t = &track{events: map[string][]*api.TaskEvent{}}
			w.tracks[alloc.ID] = t
			w.out.note(fmt.Sprintf("alloc %.8s: placed on node %s", alloc.ID, alloc.NodeName))
		}
		t.alloc = alloc
		for _, name := range slices.Sorted(maps.Keys(alloc.TaskStates)) {
			w.lookAtTask(ctx, t, name)
		}
		if isUnhealthy(alloc) && !t.checked {
			w.readChecks(ctx, t)
		}
	}
}

func (w *watcher) lookAtTask(ctx context.Context, t *track, name string) {
	task := t.alloc.TaskStates[name]
	if task == nil {
		return
	}
	for _, event := range task.Events {
		if event == nil || t.knows(name, event) || len(t.events[name]) >= maxEvents {
			continue
		}
		t.events[name] = append(t.events[name], event)
		w.out.event(t.alloc.ID, name, event)
		if event.Type == api.TaskTerminated {
			w.logs.ended = time.Now()
		}
	}
	if !task.StartedAt.IsZero() {
		w.logs.follow(ctx, t.alloc.ID, name)
	}
}

func (t *track) knows(task string, event *api.TaskEvent) bool {
	return slices.ContainsFunc(t.events[task], func(known *api.TaskEvent) bool {
		return known.Time == event.Time && known.Type == event.Type && known.DisplayMessage == event.DisplayMessage
	})
}

// isUnhealthy reports whether Nomad itself holds the allocation for bad.
func isUnhealthy(alloc *api.AllocationListStub) bool {
	if alloc.ClientStatus == api.AllocClientStatusFailed {
		return true
	}
	return alloc.DeploymentStatus != nil && alloc.DeploymentStatus.Healthy != nil && !*alloc.DeploymentStatus.Healthy
}

func isHealthy(alloc *api.AllocationListStub) bool {
	return !isUnhealthy(alloc) && alloc.DeploymentStatus != nil && value(alloc.DeploymentStatus.Healthy)
}

// readChecks asks the node for the health checks at once: it forgets them when
// the allocation stops. Consul's checks are not among them.
func (w *watcher) readChecks(ctx context.Context, t *track) {
	t.checked = true
	if w.checked++; w.checked > maxChecked {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checksTimeout)
	defer cancel()
	checks, err := get(ctx, w.s, func(q *api.QueryOptions) (api.AllocCheckStatuses, *api.QueryMeta, error) {
		var statuses api.AllocCheckStatuses
		meta, err := w.s.api.Raw().Query("/v1/client/allocation/"+t.alloc.ID+"/checks", &statuses, q)
		return statuses, meta, err
	})
	if err != nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		check := checks[id]
		if check.Status != "failure" || check.Mode == "readiness" {
			continue
		}
		t.checks = append(t.checks, check)
		w.out.warn(fmt.Sprintf("alloc %.8s: check %q of service %q failed: status %d %s",
			t.alloc.ID, check.Check, check.Service, check.StatusCode, check.Output))
	}
}

// hopeless says why the version cannot become healthy any more, before Nomad
// says so: an allocation failed by the app's own fault and nothing of its
// group is healthy, or two failed. Nomad would reschedule it until the
// progress deadline.
func (w *watcher) hopeless() finding {
	healthy := map[string]bool{}
	bad := map[string]int{}
	found := map[string]finding{}
	for _, t := range w.sorted() {
		group := t.alloc.TaskGroup
		if isHealthy(t.alloc) {
			healthy[group] = true
		}
		if !w.isHopeless(t.alloc) {
			continue
		}
		if cause := t.explain(w.spec); cause.weight >= weightCertain {
			bad[group]++
			found[group] = heavier(found[group], cause)
		}
	}
	var worst finding
	for _, group := range slices.Sorted(maps.Keys(bad)) {
		if !healthy[group] || bad[group] > 1 {
			worst = heavier(worst, found[group])
		}
	}
	return worst
}

// isHopeless reports whether the allocation itself will not recover. A batch
// job has retries of its own: Nomad says when it places another.
func (w *watcher) isHopeless(alloc *api.AllocationListStub) bool {
	if value(w.spec.Type) == api.JobTypeBatch {
		return alloc.ClientStatus == api.AllocClientStatusFailed && alloc.NextAllocation == "" && alloc.FollowupEvalID == ""
	}
	return isUnhealthy(alloc) || !isHealthy(alloc) && restartsOf(alloc) >= uint64(w.s.opts.CrashLoopRestarts)
}

// diagnose returns the best explanation that any allocation gives.
func (w *watcher) diagnose() finding {
	var best finding
	for _, t := range w.sorted() {
		if isUnhealthy(t.alloc) || !isHealthy(t.alloc) && restartsOf(t.alloc) > 0 {
			best = heavier(best, t.explain(w.spec))
		}
	}
	return best
}

// sorted lists the allocations, the oldest first.
func (w *watcher) sorted() []*track {
	return slices.SortedFunc(maps.Values(w.tracks), func(a, b *track) int {
		return cmp.Or(cmp.Compare(a.alloc.CreateIndex, b.alloc.CreateIndex), cmp.Compare(a.alloc.ID, b.alloc.ID))
	})
}

// heavier keeps the finding that explains more; of equals the later one, which
// has seen the most restarts.
func heavier(a, b finding) finding {
	if b.message != "" && b.weight >= a.weight {
		return b
	}
	return a
}
