package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// attempt runs the task as one attempt of several and returns what it kept,
// through JSON as the run record does.
func (p *parts) attempt(t *testing.T, task tasks.Task, at tasks.Attempt) (*listener, tasks.Checkpoint, error) {
	t.Helper()
	l, kept := &listener{}, at.From
	at.Dir = t.TempDir()
	at.Keep = func(_ context.Context, reached tasks.Checkpoint) error {
		text, err := json.Marshal(reached)
		if err != nil {
			return err
		}
		kept = tasks.Checkpoint{}
		return json.Unmarshal(text, &kept)
	}
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p}, tasks.Policy{Retry: tasks.Retry{Times: -1}})
	_, err := h.Handle(t.Context(), task, at, l)
	return l, kept, err
}

func TestATaskGoesOnWhereItsLastAttemptEnded(t *testing.T) {
	t.Parallel()
	down := tasks.Fail(tasks.ReasonNomadDown, "", nil)
	for name, test := range map[string]struct {
		task        tasks.Task
		fails       string
		first, then string
	}{
		"before the image is there it begins anew": {
			repositoryTask(nil), "clone", "clone", "clone configure build render register watch",
		},
		"a pushed image is not built again": {
			repositoryTask(nil), "render", "clone configure build render", "configure render register watch",
		},
		"a registered job is only watched": {
			repositoryTask(nil), "watch", "clone configure build render register watch", "watch",
		},
		"a resolved image keeps its digest": {
			imageTask(nil), "render", "configure resolve render", "configure render register watch",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &parts{fail: map[string][]error{test.fails: {down}}}
			l, kept, err := p.attempt(t, test.task, tasks.Attempt{})
			if !errors.Is(err, down) || joined(l.stages) != test.first {
				t.Fatalf("the first attempt passed %s and ended with %v, want %s", joined(l.stages), err, test.first)
			}
			l, _, err = p.attempt(t, test.task, tasks.Attempt{From: kept})
			if err != nil || joined(l.stages) != test.then {
				t.Errorf("the second attempt passed %s and ended with %v, want %s", joined(l.stages), err, test.then)
			}
		})
	}
}

func TestAResumedDeploymentDeploysTheImageOfItsFirstAttempt(t *testing.T) {
	t.Parallel()
	image := tasks.Image{Name: "web", Tag: "latest", Digest: "sha256:first", Ports: []tasks.Port{{Number: 80, Protocol: "tcp"}}}
	p := &parts{}
	task := repositoryTask(func(d *tasks.Deploy) { d.Build.Builder = tasks.BuilderDetect })
	_, kept, err := p.attempt(t, task, tasks.Attempt{From: tasks.Checkpoint{Builder: tasks.BuilderNixpacks, Commit: "c1", Image: &image}})
	if err != nil {
		t.Fatal(err)
	}
	if got := joined(p.vars); got != "web@sha256:first web@sha256:first" || p.plan.Builder != tasks.BuilderNixpacks {
		t.Errorf("deployed %s with the builder %s, want the first attempt's", got, p.plan.Builder)
	}
	want := tasks.Checkpoint{Builder: tasks.BuilderNixpacks, Commit: "c1", Image: &image, Registration: &tasks.Registration{JobID: "web"}}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func TestWhoLostItsTaskMakesNoSideEffect(t *testing.T) {
	t.Parallel()
	for name, task := range map[string]tasks.Task{
		"build": repositoryTask(nil), "register web t1": imageTask(nil), "destroy a": destroyTask("a", "b"),
	} {
		p := &parts{}
		_, _, err := p.attempt(t, task, tasks.Attempt{Guard: func(context.Context) error { return tasks.ErrLeaseLost }})
		if !errors.Is(err, tasks.ErrLeaseLost) {
			t.Errorf("%s: ended with %v, want the lost lease", name, err)
		}
		for _, asked := range p.asked {
			if asked == name || asked == "destroy b" {
				t.Errorf("%s was done by a holder that had lost its lease", asked)
			}
		}
	}
}

func TestACheckpointThatCannotBeKeptEndsTheAttempt(t *testing.T) {
	t.Parallel()
	p := &parts{}
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p}, tasks.Policy{})
	at := tasks.Attempt{Dir: t.TempDir(), Keep: func(context.Context, tasks.Checkpoint) error { return tasks.ErrLeaseLost }}
	if _, err := h.Handle(t.Context(), repositoryTask(nil), at, &listener{}); !errors.Is(err, tasks.ErrLeaseLost) {
		t.Errorf("ended with %v, want the lost lease", err)
	}
	if got := joined(p.asked); got != "clone project parse project csdocker build" {
		t.Errorf("asked: %s, want nothing after the build", got)
	}
}
