//go:build e2e

package e2e_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/test/fields"
)

// lacking is what the bed's Nomad has not: a job that needs it is a good job,
// but finds no node. Anything else that a plan objects to is a failure.
var lacking = map[string]string{
	`"nvidia/gpu"`: "missing devices",
	`"csi"`:        "missing CSI Volume",
	"vault {":      "${attr.vault.version}",
	`= "L4"`:       "${node.class} set_contains_any L4",
}

// TestNomadPlansEveryField lets the real Nomad parse and plan the job of every
// param's task: it takes each one, without a warning, and finds a node for it.
func TestNomadPlansEveryField(t *testing.T) {
	t.Parallel()
	planned := 0
	for _, f := range fields.All() {
		body, err := f.Task()
		if err != nil {
			t.Fatal(err)
		}
		p, err := service.Render(t.Context(), config.Config{}, body)
		if failure := (*tasks.Failure)(nil); errors.As(err, &failure) && failure.Reason == tasks.ReasonUnsupported {
			continue // A pack that is not ours.
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		planned++
		t.Run(f.Name, func(t *testing.T) { wantPlan(t, string(p.Job)) })
	}
	if planned < 100 {
		t.Errorf("%d jobs were planned: the test looks at too few", planned)
	}
}

func wantPlan(t *testing.T, hcl string) {
	t.Helper()
	job, err := shared.nomad.Jobs().ParseHCLOpts(&api.JobsParseRequest{JobHCL: hcl})
	if err != nil {
		t.Fatalf("Nomad cannot parse the job: %v\n%s", err, hcl)
	}
	plan, _, err := shared.nomad.Jobs().Plan(job, true, nil)
	if err != nil {
		t.Fatalf("Nomad refuses the job: %v\n%s", err, hcl)
	}
	if plan.Warnings != "" {
		t.Errorf("Nomad warns: %s", plan.Warnings)
	}
	for _, why := range unplaced(plan) {
		known := false
		for needs, words := range lacking {
			known = known || strings.Contains(hcl, needs) && strings.Contains(why, words)
		}
		if !known {
			t.Errorf("no node takes the job: %s", why)
		}
	}
}

// unplaced says why groups find no node.
func unplaced(plan *api.JobPlanResponse) []string {
	var why []string
	for _, failed := range plan.FailedTGAllocs {
		why = append(why, slices.Collect(maps.Keys(failed.ConstraintFiltered))...)
		why = append(why, slices.Collect(maps.Keys(failed.DimensionExhausted))...)
		if failed.NodesEvaluated == 0 {
			why = append(why, "no node was looked at")
		}
	}
	return why
}
