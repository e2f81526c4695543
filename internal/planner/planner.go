package planner

import (
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Options say where the programs are.
type Options struct {
	// Nixpacks and Railpack are names on the PATH, or paths; empty are
	// "nixpacks" and "railpack".
	Nixpacks string
	Railpack string
	// RailpackFrontend is the image that builds railpack's plans; empty is the
	// project's own image in the version of the program.
	RailpackFrontend string
	// VersionTimeout is how long a program may take to say its version; 10 s
	// where it is 0.
	VersionTimeout time.Duration
	// Environ is the environment of which the programs see a few named
	// variables; nil is this process's.
	Environ []string
}

// Planner runs the planning programs. It is safe for concurrent use and holds
// nothing between plans.
type Planner struct {
	nixpacks tool
	railpack tool
	frontend string
	patience time.Duration
	environ  []string
}

var _ tasks.BuildPlanner = (*Planner)(nil)

// New makes a Planner. It does not look for the programs yet.
func New(options Options) *Planner {
	environ := options.Environ
	if environ == nil {
		environ = os.Environ()
	}
	return &Planner{
		nixpacks: tool{
			name: "nixpacks", path: cmp.Or(options.Nixpacks, "nixpacks"), setting: "DISPATCHD_NIXPACKS",
			least: version{1, 30, 0}, below: version{2, 0, 0},
		},
		railpack: tool{
			name: "railpack", path: cmp.Or(options.Railpack, "railpack"), setting: "DISPATCHD_RAILPACK",
			least: version{0, 15, 0}, below: version{1, 0, 0},
		},
		frontend: options.RailpackFrontend,
		patience: cmp.Or(options.VersionTimeout, 10*time.Second),
		environ:  inherit(environ),
	}
}

// Plan has the program of the request's builder plan the build. It writes below
// dir, which stays the caller's.
func (p *Planner) Plan(ctx context.Context, req tasks.BuildRequest, dir string, rep tasks.Reporter) (tasks.BuildPlan, error) {
	plan, err := p.plan(ctx, req, dir, rep)
	if err != nil && ctx.Err() != nil {
		return tasks.BuildPlan{}, context.Cause(ctx)
	}
	return plan, err
}

func (p *Planner) plan(ctx context.Context, req tasks.BuildRequest, dir string, rep tasks.Reporter) (tasks.BuildPlan, error) {
	j := job{req: req, rep: rep, dir: dir, source: filepath.Join(req.Dir, filepath.FromSlash(req.Context)), patience: p.patience, environ: p.environ}
	if err := j.prepare(); err != nil {
		return tasks.BuildPlan{}, err
	}
	switch req.Builder {
	case tasks.BuilderNixpacks:
		return p.planNixpacks(ctx, j)
	case tasks.BuilderRailpack:
		return p.planRailpack(ctx, j)
	default:
		return tasks.BuildPlan{}, tasks.Fail(tasks.ReasonUnsupported, "no program plans builds for "+req.Builder, nil)
	}
}

// job is one plan.
type job struct {
	req tasks.BuildRequest
	rep tasks.Reporter
	// source is the directory that is planned for; out is where the plan goes.
	source string
	dir    string
	out    string
	// patience is how long a program may take to say its version.
	patience time.Duration
	environ  []string
}

// prepare makes the folders that a program writes into: the plan's, and a HOME
// that holds nothing of anybody.
func (j *job) prepare() error {
	home := filepath.Join(j.dir, "home")
	j.out = filepath.Join(j.dir, "plan")
	for _, dir := range []string{home, j.out} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return tasks.Fail(tasks.ReasonInternal, "", err)
		}
	}
	j.environ = append(slices.Clip(j.environ), "HOME="+home, "LANG=C.UTF-8", "NO_COLOR=1")
	return nil
}

// variables are what the program is told of the task's environment: the static
// build environment and over it the build arguments.
func (j *job) variables() map[string]string {
	all := maps.Clone(j.req.StaticBuildEnv)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, j.req.BuildArgs)
	return all
}

// arguments are the flags that both programs take, each with its value in the
// same word so that no value is read as a flag.
func (j *job) arguments() []string {
	var args []string
	if j.req.BuildCommand != "" {
		args = append(args, "--build-cmd="+j.req.BuildCommand)
	}
	if j.req.StartCommand != "" {
		args = append(args, "--start-cmd="+j.req.StartCommand)
	}
	variables := j.variables()
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		// Without a value both would look into their own environment.
		if variables[name] != "" {
			args = append(args, "--env="+name+"="+variables[name])
		}
	}
	return args
}
