package nomad

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

var _ tasks.Planner = (*Client)(nil)

// Plan asks Nomad what registering the job would change and whether there is
// room for it. It changes nothing.
func (c *Client) Plan(ctx context.Context, at tasks.Cluster, spec tasks.JobSpec) (tasks.JobPlan, error) {
	s, err := c.open(at, spec.JobID)
	if err != nil {
		return tasks.JobPlan{}, err
	}
	job, err := s.parse(ctx, spec)
	if err != nil {
		return tasks.JobPlan{}, err
	}
	answer, err := put(ctx, s, func(q *api.WriteOptions) (*api.JobPlanResponse, *api.WriteMeta, error) {
		return s.api.Jobs().Plan(job, true, q)
	})
	if err != nil {
		return tasks.JobPlan{}, s.wrap(ctx, "plan", err)
	}
	plan := tasks.JobPlan{Changes: changes(answer.Diff), Warnings: answer.Warnings}
	for _, group := range slices.Sorted(maps.Keys(answer.FailedTGAllocs)) {
		if metric := answer.FailedTGAllocs[group]; metric != nil {
			plan.Unplaced = append(plan.Unplaced, explainPlacement(metric, findGroup(job, group)))
		}
	}
	return plan, nil
}

// differ writes a diff as lines, indented by depth.
type differ struct{ lines []string }

// changes are the lines of what differs; none where nothing does.
func changes(diff *api.JobDiff) []string {
	if diff == nil {
		return nil
	}
	var d differ
	d.part(0, part{diff.Type, "job " + diff.ID, diff.Fields, diff.Objects}, func() {
		for _, group := range diff.TaskGroups {
			d.group(group)
		}
	})
	return d.lines
}

// part is what jobs, groups, tasks and their blocks have in common.
type part struct {
	kind, name string
	fields     []*api.FieldDiff
	objects    []*api.ObjectDiff
}

func (d *differ) group(g *api.TaskGroupDiff) {
	d.part(1, part{g.Type, "group " + g.Name, g.Fields, g.Objects}, func() {
		for _, task := range g.Tasks {
			d.part(2, part{task.Type, "task " + task.Name, task.Fields, task.Objects}, func() {})
		}
	})
}

// part writes one, unless nothing in it is worth a line.
func (d *differ) part(depth int, p part, inner func()) {
	if sign(p.kind) == "" {
		return
	}
	before := len(d.lines)
	d.say(depth, "%s %s", sign(p.kind), p.name)
	for _, field := range p.fields {
		d.field(depth+1, field)
	}
	for _, object := range p.objects {
		d.part(depth+1, part{object.Type, object.Name, object.Fields, object.Objects}, func() {})
	}
	inner()
	if len(d.lines) == before+1 && p.kind == "Edited" {
		d.lines = d.lines[:before]
	}
}

// field writes one value. Ours that differs each time is no change to a person.
func (d *differ) field(depth int, f *api.FieldDiff) {
	if f.Name == "Meta["+metaTaskID+"]" {
		return
	}
	switch f.Type {
	case "Added":
		d.say(depth, "+ %s: %q", f.Name, f.New)
	case "Deleted":
		d.say(depth, "- %s: %q", f.Name, f.Old)
	case "Edited":
		d.say(depth, "~ %s: %q => %q", f.Name, f.Old, f.New)
	}
}

func (d *differ) say(depth int, format string, args ...any) {
	d.lines = append(d.lines, strings.Repeat("  ", depth)+fmt.Sprintf(format, args...))
}

// sign is how a kind of difference is written; empty where there is none.
func sign(kind string) string {
	switch kind {
	case "Added":
		return "+"
	case "Deleted":
		return "-"
	case "Edited":
		return "~"
	default:
		return ""
	}
}
