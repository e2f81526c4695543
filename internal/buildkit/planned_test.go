package buildkit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// planFunc is a planner that is one function.
type planFunc func(ctx context.Context, req tasks.BuildRequest, dir string) (tasks.BuildPlan, error)

func (f planFunc) Plan(ctx context.Context, req tasks.BuildRequest, dir string, rep tasks.Reporter) (tasks.BuildPlan, error) {
	_, _ = rep.Stdout().Write([]byte("planning with " + req.Secrets["KEY"].Reveal() + "\n"))
	return f(ctx, req, dir)
}

// planOf writes a Dockerfile and returns the plan.
func planOf(dockerfile string, plan tasks.BuildPlan) planFunc {
	return func(_ context.Context, _ tasks.BuildRequest, dir string) (tasks.BuildPlan, error) {
		plan.File = "Dockerfile"
		return plan, os.WriteFile(filepath.Join(dir, plan.File), []byte(dockerfile), 0o600)
	}
}

// TestPlansThatCannotBeUsed end before the daemon is asked, and leave nothing.
func TestPlansThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	refused := tasks.Fail(tasks.ReasonBuildFailed, "the program says that secret-of-the-build is wrong", errors.New("with secret-of-the-build"))
	for name, tc := range map[string]struct {
		planner tasks.BuildPlanner
		reason  tasks.Reason
		want    string
	}{
		"no planner": {nil, tasks.ReasonUnsupported, "this worker plans no builds with nixpacks"},
		"a failure": {planFunc(func(context.Context, tasks.BuildRequest, string) (tasks.BuildPlan, error) {
			return tasks.BuildPlan{}, refused
		}), tasks.ReasonBuildFailed, "the program says that *** is wrong"},
		"no Dockerfile": {planOf("RUN <<END\nnothing ends this", tasks.BuildPlan{Program: "nixpacks 1.39.0"}), tasks.ReasonBuildFailed, "nixpacks 1.39.0 made a Dockerfile that cannot be read"},
		"elsewhere":     {planOf("FROM scratch\n", tasks.BuildPlan{Context: "../../etc"}), tasks.ReasonSourceInvalid, `root directory "../../etc" leaves the source`},
		"nowhere":       {planOf("FROM scratch\n", tasks.BuildPlan{Context: "nope"}), tasks.ReasonSourceInvalid, `root directory "nope" not found`},
		"a large secret": {
			planOf("FROM scratch\n", tasks.BuildPlan{Variables: map[string]string{"LARGE": string(make([]byte, 600<<10))}}),
			tasks.ReasonConfigInvalid, "secret LARGE has 614400 bytes, at most 512000 can be given to a build",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := buildRequest(writeTree(t, map[string]string{"package.json": "{}"}))
			req.Builder, req.Scratch = tasks.BuilderNixpacks, t.TempDir()
			req.Secrets = map[string]tasks.Secret{"KEY": "secret-of-the-build"}
			rep := newRecorder()
			_, err := newClient(t, buildkit.Options{Address: "tcp://127.0.0.1:1", Planner: tc.planner}).Build(t.Context(), req, rep)
			checkFailure(t, err, tc.reason, tc.want)
			if left, err := os.ReadDir(req.Scratch); err != nil || len(left) > 0 {
				t.Errorf("the plan was left behind: %v %v", left, err)
			}
			if log := rep.Log(); tc.planner != nil && log != "planning with ***\n" {
				t.Errorf("the log is %q", log)
			}
			if errors.Is(err, refused.Err) && err.Error() != "the program says that *** is wrong: with ***" {
				t.Errorf("the operator reads %q", err)
			}
		})
	}
}
