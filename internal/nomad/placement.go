package nomad

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// evals are the evaluations since our registration. Their job index does not
// tell: those of the deployment watcher have none.
func (w *watcher) evals() []*api.Evaluation {
	var list []*api.Evaluation
	for _, eval := range w.view.evals {
		if eval.CreateIndex >= w.reg.ModifyIndex {
			list = append(list, eval)
		}
	}
	return list
}

// judgePlacement fails when allocations found no room and none was freed
// within the grace. What makes the app itself fail is the better reason, since
// Nomad then looks for room for a replacement.
func (w *watcher) judgePlacement(failing finding) (state, finding) {
	problem := w.placement()
	if problem != "" {
		w.sayOnce(fmt.Sprintf("%s; waiting up to %s for it", problem, w.s.opts.PlacementGrace))
	}
	if !w.graces.held("placement", problem != "", w.s.opts.PlacementGrace) {
		return stateWaiting, finding{}
	}
	if failing.message == "" {
		failing = w.diagnose()
	}
	if failing.message != "" {
		return stateFailed, failing
	}
	return stateFailed, finding{reason: tasks.ReasonPlacementFailed, message: problem}
}

// placement says what could not be placed and why; empty where nothing waits.
func (w *watcher) placement() string {
	metrics := w.unplaced()
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		if metrics[name] != nil {
			return explainPlacement(metrics[name], findGroup(w.spec, name))
		}
	}
	return ""
}

// unplaced returns the metrics of the groups that still wait for room: those of
// a blocked evaluation, or of the newest one where the scheduler does not block
// (system jobs).
func (w *watcher) unplaced() map[string]*api.AllocationMetric {
	var newest *api.Evaluation
	for _, eval := range w.evals() {
		if eval.Status == api.EvalStatusBlocked && len(eval.FailedTGAllocs) > 0 {
			return eval.FailedTGAllocs
		}
		if eval.Status == api.EvalStatusComplete && (newest == nil || eval.CreateIndex > newest.CreateIndex) {
			newest = eval
		}
	}
	if newest != nil && newest.BlockedEval == "" {
		return newest.FailedTGAllocs
	}
	return nil
}

func findGroup(job *api.Job, name string) *api.TaskGroup {
	if job != nil {
		for _, group := range job.TaskGroups {
			if value(group.Name) == name {
				return group
			}
		}
	}
	return &api.TaskGroup{Name: &name}
}

// explainPlacement says in one sentence why the scheduler found no node.
func explainPlacement(metric *api.AllocationMetric, group *api.TaskGroup) string {
	const sentence = "no node has room for the app: "
	var causes []string
	for _, name := range slices.Sorted(maps.Keys(metric.DimensionExhausted)) {
		causes = append(causes, fmt.Sprintf("%s exhausted on %d of %d nodes%s",
			name, metric.DimensionExhausted[name], metric.NodesEvaluated, askedFor(name, group)))
	}
	if len(metric.QuotaExhausted) > 0 {
		causes = append(causes, "quota exhausted: "+strings.Join(metric.QuotaExhausted, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(metric.ConstraintFiltered)) {
		causes = append(causes, fmt.Sprintf("%s on %d of %d nodes", constraint(name), metric.ConstraintFiltered[name], metric.NodesEvaluated))
	}
	for _, name := range slices.Sorted(maps.Keys(metric.ClassFiltered)) {
		causes = append(causes, fmt.Sprintf("node class %q is excluded on %d of %d nodes", name, metric.ClassFiltered[name], metric.NodesEvaluated))
	}
	switch {
	case len(causes) > 0:
		return sentence + strings.Join(causes, ", ")
	case metric.NodesEvaluated == 0:
		return "no node is there for the app: none is ready in its datacenters and node pool"
	case metric.NodesExhausted > 0:
		return sentence + fmt.Sprintf("%d of %d nodes are exhausted", metric.NodesExhausted, metric.NodesEvaluated)
	}
	return sentence + fmt.Sprintf("%d of %d nodes do not fit", metric.NodesFiltered, metric.NodesEvaluated)
}

func constraint(name string) string {
	if strings.HasPrefix(name, "missing ") || strings.HasPrefix(name, "computed class ") {
		return name
	}
	return fmt.Sprintf("constraint %q not met", name)
}

// askedFor is what the group wants of the exhausted dimension.
func askedFor(dimension string, group *api.TaskGroup) string {
	memory, cpu := 0, 0
	for _, task := range group.Tasks {
		if task.Resources != nil {
			memory += value(task.Resources.MemoryMB)
			cpu += value(task.Resources.CPU)
		}
	}
	switch {
	case dimension == "memory" && memory > 0:
		return fmt.Sprintf(" (asked for %d MiB)", memory)
	case dimension == "cpu" && cpu > 0:
		return fmt.Sprintf(" (asked for %d MHz)", cpu)
	case dimension == "disk" && group.EphemeralDisk != nil:
		return fmt.Sprintf(" (asked for %d MiB)", value(group.EphemeralDisk.SizeMB))
	}
	return ""
}
