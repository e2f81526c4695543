package planner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// railpackFrontend is where railpack publishes the frontend of each version.
const railpackFrontend = "ghcr.io/railwayapp/railpack-frontend"

// railpackPlan is the plan's name in our folder.
const railpackPlan = "railpack-plan.json"

// planRailpack has railpack write its plan. Every variable that it is told
// becomes a name in the plan's list of secrets, which the frontend mounts into
// the steps; the build's own secrets are added to that list here.
func (p *Planner) planRailpack(ctx context.Context, j job) (tasks.BuildPlan, error) {
	found, err := j.find(ctx, p.railpack)
	if err != nil {
		return tasks.BuildPlan{}, err
	}
	if err := refuseLinksOut(j.req, p.railpack.name); err != nil {
		return tasks.BuildPlan{}, err
	}
	path := filepath.Join(j.out, railpackPlan)
	args := append([]string{
		"prepare", j.source, "--plan-out=" + path, "--info-out=" + filepath.Join(j.out, "railpack-info.json"), "--error-missing-start",
	}, j.arguments()...)
	if err := j.run(ctx, found, args, output{stdout: j.rep.Stdout(), stderr: j.rep.Stderr()}); err != nil {
		return tasks.BuildPlan{}, err
	}
	if err := addSecretNames(path, slices.Sorted(maps.Keys(j.req.Secrets))); err != nil {
		return tasks.BuildPlan{}, tasks.Fail(tasks.ReasonBuildFailed, fmt.Sprintf("%s made a plan that cannot be read", found), err)
	}
	return tasks.BuildPlan{
		Program: found.String(), File: "plan/" + railpackPlan, Variables: j.variables(),
		Frontend: cmp.Or(p.frontend, railpackFrontend+":v"+found.version.String()),
	}, nil
}

// addSecretNames adds names to the plan's list of secrets and leaves the rest
// of the plan as it is.
func addSecretNames(path string, names []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var plan map[string]json.RawMessage
	if err := json.Unmarshal(text, &plan); err != nil {
		return err
	}
	var listed []string
	if raw, ok := plan["secrets"]; ok {
		if err := json.Unmarshal(raw, &listed); err != nil {
			return fmt.Errorf("read the plan's secrets: %w", err)
		}
	}
	listed = append(listed, names...)
	slices.Sort(listed)
	if plan["secrets"], err = json.Marshal(slices.Compact(listed)); err != nil {
		return err
	}
	if text, err = json.Marshal(plan); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
