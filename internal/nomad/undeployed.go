package nomad

import (
	"fmt"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// withoutDeployment judges a job for which Nomad makes no deployment, or has
// not made it yet.
func (w *watcher) withoutDeployment() (state, finding) {
	failing := w.hopeless()
	if w.graces.held("hopeless", failing.message != "", w.s.opts.UnhealthyGrace) {
		return stateFailed, failing
	}
	if state, found := w.judgePlacement(failing); state != stateWaiting {
		return state, found
	}
	if !w.evaluated() {
		return stateWaiting, finding{}
	}
	switch value(w.spec.Type) {
	case api.JobTypeBatch:
		return w.judgeBatch()
	case api.JobTypeSystem, api.JobTypeSysbatch:
		return w.judgeEverywhere()
	default:
		return w.judgeService()
	}
}

// evaluated reports whether the scheduler has done its work for our version.
func (w *watcher) evaluated() bool {
	complete := false
	for _, eval := range w.evals() {
		switch eval.Status {
		case api.EvalStatusPending:
			return false
		case api.EvalStatusComplete:
			complete = true
		}
	}
	return complete
}

// counts are the wanted allocations of each group.
func (w *watcher) counts() map[string]int {
	counts := map[string]int{}
	for _, group := range w.spec.TaskGroups {
		count := 1
		if group.Count != nil {
			count = *group.Count
		}
		counts[value(group.Name)] = count
	}
	return counts
}

// judgeBatch waits for the work to be done.
func (w *watcher) judgeBatch() (state, finding) {
	left := w.counts()
	for _, alloc := range w.ours() {
		if alloc.ClientStatus == api.AllocClientStatusComplete && alloc.DesiredStatus == api.AllocDesiredStatusRun {
			left[alloc.TaskGroup]--
		}
	}
	for _, missing := range left {
		if missing > 0 {
			return stateWaiting, finding{}
		}
	}
	return stateHealthy, finding{}
}

// judgeService waits until the wanted number runs and stays up. It is for
// groups without an update block; a job with one gets its deployment within
// the settling time.
func (w *watcher) judgeService() (state, finding) {
	left, restarts := w.counts(), uint64(0)
	for _, alloc := range w.ours() {
		if w.isUp(alloc) && alloc.DesiredStatus == api.AllocDesiredStatusRun {
			left[alloc.TaskGroup]--
			restarts += restartsOf(alloc)
		}
	}
	total, missing := 0, 0
	for name, count := range w.counts() {
		total += count
		missing += max(0, left[name])
	}
	if total == 0 {
		return stateHealthy, finding{}
	}
	return w.settled(missing == 0, restarts)
}

// judgeEverywhere waits until each node that the scheduler chose runs our
// version, and none an older one.
func (w *watcher) judgeEverywhere() (state, finding) {
	up, down, restarts := 0, 0, uint64(0)
	for _, alloc := range w.view.allocs {
		if alloc.DesiredStatus != api.AllocDesiredStatusRun || alloc.JobVersion > w.reg.JobVersion {
			continue
		}
		done := alloc.ClientStatus == api.AllocClientStatusComplete
		switch {
		case alloc.JobVersion < w.reg.JobVersion && !done:
			down++
		case alloc.JobVersion < w.reg.JobVersion:
		case w.isUp(alloc) || done:
			up++
			restarts += restartsOf(alloc)
		default:
			down++
		}
	}
	if up+down == 0 && w.graces.held("nowhere", true, w.s.opts.PlacementGrace) {
		return stateFailed, finding{reason: tasks.ReasonPlacementFailed, message: "no node fits the app"}
	}
	return w.settled(up > 0 && down == 0, restarts)
}

// settled is healthy once the condition has held for the settling time with no
// restart in it.
func (w *watcher) settled(holds bool, restarts uint64) (state, finding) {
	condition := fmt.Sprintf("settled after %d restarts", restarts)
	for known := range w.graces {
		if known != condition && strings.HasPrefix(known, "settled") {
			delete(w.graces, known)
		}
	}
	if w.graces.held(condition, holds, w.s.opts.Settle) {
		return stateHealthy, finding{}
	}
	return stateWaiting, finding{}
}

// isUp reports whether each task of the allocation that should run does. A
// finished task is up where it did not fail (a prestart task), and one that
// runs after the others is not due yet.
func (w *watcher) isUp(alloc *api.AllocationListStub) bool {
	if alloc.ClientStatus != api.AllocClientStatusRunning {
		return false
	}
	group := findGroup(w.spec, alloc.TaskGroup)
	for name, state := range alloc.TaskStates {
		task := findTask(group, name)
		if task != nil && task.Lifecycle != nil && task.Lifecycle.Hook == api.TaskLifecycleHookPoststop {
			continue
		}
		if state == nil || state.State == "pending" || state.Failed {
			return false
		}
	}
	return true
}

func restartsOf(alloc *api.AllocationListStub) uint64 {
	var sum uint64
	for _, task := range alloc.TaskStates {
		sum += task.Restarts
	}
	return sum
}
