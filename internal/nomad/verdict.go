package nomad

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// state is what the view means for the registered version.
type state int

const (
	stateWaiting state = iota
	stateHealthy
	stateFailed
	// stateFailing is a deployment that Nomad shall fail before we say so.
	stateFailing
)

// supersedeGrace is how long a deployment may outlive a newer version of its job.
const supersedeGrace = 10 * time.Second

// deployment returns the one of our version. The latest deployment of the job
// may be another's: after a revert it is, and a job that is registered
// unchanged keeps its old one.
func (w *watcher) deployment() *api.Deployment {
	for _, d := range w.view.deployments {
		if d.JobSpecModifyIndex == w.reg.ModifyIndex {
			return d
		}
	}
	return nil
}

// ours are the allocations of our version.
func (w *watcher) ours() []*api.AllocationListStub {
	var list []*api.AllocationListStub
	for _, alloc := range w.view.allocs {
		if alloc.JobVersion == w.reg.JobVersion {
			list = append(list, alloc)
		}
	}
	return list
}

// state judges the view. A deployment that has ended speaks for itself, before
// anything that happened to the job since.
func (w *watcher) state() (state, finding) {
	d := w.deployment()
	if d != nil {
		w.sayProgress(d)
		if state, found := w.ended(d); state != stateWaiting {
			return state, found
		}
	}
	if value(w.view.job.Stop) {
		return stateFailed, finding{reason: tasks.ReasonJobStopped, message: "the job was stopped while it was deployed"}
	}
	if newer := value(w.view.job.Version); newer > w.reg.JobVersion {
		if w.graces.held("superseded", true, w.supersedeGrace(d)) {
			return stateFailed, superseded(newer, w.reg.JobVersion)
		}
		return stateWaiting, finding{}
	}
	switch {
	case w.spec.IsPeriodic() || w.spec.IsParameterized():
		return stateHealthy, finding{}
	case d != nil:
		return w.running(d)
	default:
		return w.withoutDeployment()
	}
}

// supersedeGrace gives Nomad time to say whether our deployment was cancelled
// or rolled back.
func (w *watcher) supersedeGrace(d *api.Deployment) time.Duration {
	if d == nil {
		return 0
	}
	return supersedeGrace
}

func superseded(newer, ours uint64) finding {
	return finding{
		reason:  tasks.ReasonSuperseded,
		message: fmt.Sprintf("version %d of the job took the place of version %d", newer, ours),
	}
}

// ended reads a deployment's final state.
func (w *watcher) ended(d *api.Deployment) (state, finding) {
	switch d.Status {
	case api.DeploymentStatusSuccessful:
		return stateHealthy, finding{}
	case api.DeploymentStatusFailed:
		return stateFailed, w.failed(d)
	case api.DeploymentStatusCancelled:
		if strings.Contains(d.StatusDescription, "stopped") {
			return stateFailed, finding{reason: tasks.ReasonJobStopped, message: "the job was stopped while it was deployed"}
		}
		// The job's feed may not have seen the newer version yet, and that may be
		// the same task's.
		newer := value(w.view.job.Version)
		if newer <= w.reg.JobVersion && !w.graces.held("cancelled", true, supersedeGrace) {
			return stateWaiting, finding{}
		}
		return stateFailed, superseded(newer, w.reg.JobVersion)
	}
	return stateWaiting, finding{}
}

// rolledBack finds the version in a failed deployment's description; it stands
// nowhere else.
var rolledBack = regexp.MustCompile(` - rolling back to job version (\d+)$`)

// failed says why a failed deployment failed: by the allocations where they
// know, else by Nomad's description.
func (w *watcher) failed(d *api.Deployment) finding {
	found := w.diagnose()
	switch {
	case w.verdict != nil:
		found = *w.verdict
	case found.message != "":
	case w.placement() != "":
		found = finding{reason: tasks.ReasonPlacementFailed, message: w.placement()}
	case strings.Contains(d.StatusDescription, "progress deadline"):
		found = finding{reason: tasks.ReasonUnhealthy, message: "the app made no progress before the progress deadline"}
	case strings.Contains(d.StatusDescription, "marked as failed"):
		found = finding{reason: tasks.ReasonUnhealthy, message: "the deployment was marked as failed by an operator"}
	default:
		found = finding{reason: tasks.ReasonUnhealthy, message: "the app did not become healthy"}
	}
	if match := rolledBack.FindStringSubmatch(d.StatusDescription); match != nil {
		if version, err := strconv.ParseUint(match[1], 10, 64); err == nil {
			found.reason, found.rolledBackTo = tasks.ReasonRolledBack, &version
			found.message += fmt.Sprintf("; Nomad went back to version %d", version)
		}
	}
	return found
}

// running judges a deployment that goes on.
func (w *watcher) running(d *api.Deployment) (state, finding) {
	if w.verdict != nil {
		if w.graces.held("failing", true, supersedeGrace) {
			return stateFailed, *w.verdict
		}
		return stateWaiting, finding{}
	}
	if d.Status == api.DeploymentStatusPaused || d.Status == api.DeploymentStatusPending {
		return stateWaiting, finding{}
	}
	if needsPromotion(d) {
		return stateFailed, finding{
			reason:  tasks.ReasonNeedsPromotion,
			message: "its canaries are healthy and wait for a promotion by hand",
		}
	}
	hopeless := w.hopeless()
	if w.graces.held("hopeless", hopeless.message != "", w.s.opts.UnhealthyGrace) {
		return stateFailing, hopeless
	}
	return w.judgePlacement(hopeless)
}

// needsPromotion reports whether all that is left to do is a person's.
func needsPromotion(d *api.Deployment) bool {
	if !strings.Contains(d.StatusDescription, "manual promotion") {
		return false
	}
	waiting := false
	for _, group := range d.TaskGroups {
		if group.DesiredCanaries == 0 || group.Promoted {
			continue
		}
		if group.HealthyAllocs < group.DesiredCanaries {
			return false
		}
		waiting = true
	}
	return waiting
}

func (w *watcher) sayProgress(d *api.Deployment) {
	healthy, desired := 0, 0
	for _, group := range d.TaskGroups {
		healthy += group.HealthyAllocs
		desired += group.DesiredTotal
	}
	w.sayOnce(fmt.Sprintf("deployment %.8s: %d of %d allocations healthy", d.ID, healthy, desired))
}

func (w *watcher) sayOnce(line string) {
	if !w.said[line] {
		w.said[line] = true
		w.out.note(line)
	}
}
