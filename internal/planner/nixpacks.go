package planner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// nixpacksDir is the folder that nixpacks makes in its output directory, and
// from which its Dockerfile copies.
const nixpacksDir = ".nixpacks"

// cacheKey begins the ids of the cache mounts. It is the same for everybody:
// the builder keeps the mounts of one app apart from another's.
const cacheKey = "app"

// subdirectory is how nixpacks says that it went on in the only directory of a
// source that it did not know what to do with.
var subdirectory = regexp.MustCompile(`(?m)^Using subdirectory "(.+)"\r?$`)

// planNixpacks asks twice: `build --out` writes the Dockerfile, and `plan`
// tells the variables, whose values stand in no file that can be read back.
func (p *Planner) planNixpacks(ctx context.Context, j job) (tasks.BuildPlan, error) {
	found, err := j.find(ctx, p.nixpacks)
	if err != nil {
		return tasks.BuildPlan{}, err
	}
	if err := refuseLinksOut(j.req, p.nixpacks.name); err != nil {
		return tasks.BuildPlan{}, err
	}
	plan := tasks.BuildPlan{
		Program: found.String(), File: "plan/" + nixpacksDir + "/Dockerfile", Assets: "plan/" + nixpacksDir,
	}
	said := &tail{}
	args := append([]string{"build", j.source, "--out=" + j.out, "--cache-key=" + cacheKey}, j.arguments()...)
	to := output{stdout: io.MultiWriter(j.rep.Stdout(), said), stderr: j.rep.Stderr()}
	if err := j.run(ctx, found, args, to); err != nil {
		return tasks.BuildPlan{}, err
	}
	if _, err := os.Stat(filepath.Join(j.dir, filepath.FromSlash(plan.File))); err != nil {
		return tasks.BuildPlan{}, tasks.Fail(tasks.ReasonBuildFailed, found.String()+" made no Dockerfile", err)
	}
	if dir := subdirectory.FindStringSubmatch(said.text()); dir != nil {
		plan.Context = dir[1]
	}
	plan.Args, err = j.nixpacksVariables(ctx, found)
	return plan, err
}

// nixpacksVariables are those of the plan: what the task gave, what the app's
// own nixpacks.toml adds, and what nixpacks itself does.
func (j job) nixpacksVariables(ctx context.Context, found program) (map[string]string, error) {
	text := &limited{most: maxPlan}
	args := append([]string{"plan", j.source, "--format=json"}, j.arguments()...)
	if err := j.run(ctx, found, args, output{stdout: text, stderr: io.Discard}); err != nil {
		return nil, err
	}
	var plan struct {
		Variables map[string]string `json:"variables"`
	}
	// Whatever it says before the plan is no part of it.
	begin := max(0, bytes.IndexByte(text.bytes, '{'))
	if err := json.Unmarshal(text.bytes[begin:], &plan); err != nil {
		return nil, tasks.Fail(tasks.ReasonBuildFailed, fmt.Sprintf("%s made a plan that cannot be read", found), err)
	}
	return plan.Variables, nil
}
