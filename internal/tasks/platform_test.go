package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// platform keeps what it is told, in order.
type platform struct {
	mu     sync.Mutex
	about  tasks.PlatformTask
	told   []string
	domain string
}

func (p *platform) Open(_ context.Context, about tasks.PlatformTask) tasks.PlatformSession {
	p.about = about
	return p
}

func (p *platform) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintf(format, args...))
}

func (p *platform) Domain(context.Context) (string, error) {
	p.tell("domain?")
	if p.domain == "" {
		return "", errors.New("no answer within 2s")
	}
	return p.domain, nil
}

func (p *platform) Step(step tasks.PlatformStep, status tasks.PlatformStatus, message string) {
	p.tell("%s", strings.TrimSpace(fmt.Sprintf("%s %s %s", step, status, message)))
}
func (p *platform) Succeeded() { p.tell("succeeded") }
func (p *platform) Close()     { p.tell("closed") }

// pushing is a builder that announces its push, as ours does.
type pushing struct{ *parts }

func (b pushing) Build(ctx context.Context, req tasks.BuildRequest, rep tasks.Reporter) (tasks.Image, error) {
	image, err := b.parts.Build(ctx, req, rep)
	if err == nil {
		rep.Stage(tasks.StagePush)
	}
	return image, err
}

func (p *platform) follow(t *testing.T, doubles *parts, task tasks.Task, last bool) (*listener, tasks.Result, error) {
	t.Helper()
	l := &listener{}
	h := tasks.NewHandler(tasks.Parts{
		Cloner: doubles, Configurer: doubles, Builder: pushing{doubles}, Resolver: doubles, Renderer: doubles, Deployer: doubles, Platform: p,
	}, tasks.Policy{Retry: tasks.Retry{Times: -1}})
	result, err := h.Handle(t.Context(), task, tasks.Attempt{Dir: t.TempDir(), Last: last}, l)
	return l, result, err
}

func TestThePlatformHearsEachStep(t *testing.T) {
	t.Parallel()
	down := tasks.Fail(tasks.ReasonNomadDown, "Nomad is away", nil)
	tests := map[string]struct {
		task tasks.Task
		fail map[string][]error
		last bool
		want string
	}{
		"of a repository": {repositoryTask(nil), nil, false, `clone in_progress|clone completed|build in_progress|build completed|` +
			`registry in_progress|registry completed|deploy in_progress|deploy completed|release in_progress|release completed|succeeded|closed`},
		"of an image": {
			imageTask(nil), nil, false,
			`registry in_progress|registry completed|deploy in_progress|deploy completed|release in_progress|release completed|succeeded|closed`,
		},
		"up to the one that failed": {
			repositoryTask(nil),
			map[string][]error{"build": {tasks.Fail(tasks.ReasonBuildFailed, "no", nil)}},
			false,
			`clone in_progress|clone completed|build in_progress|build failed no|closed`,
		},
		"without a failure where it will be tried again": {
			imageTask(nil),
			map[string][]error{"render": {down}},
			false,
			`registry in_progress|registry completed|deploy in_progress|closed`,
		},
		"with it in the last attempt": {
			imageTask(nil),
			map[string][]error{"render": {down}},
			true,
			`registry in_progress|registry completed|deploy in_progress|deploy failed Nomad is away|closed`,
		},
		"with the deployment where it cannot be configured": {
			imageTask(nil),
			map[string][]error{"project": {tasks.Fail(tasks.ReasonConfigInvalid, "bad", nil)}},
			false,
			`deploy failed bad|closed`,
		},
		"not of a worker that shuts down": {
			imageTask(nil),
			map[string][]error{"render": {tasks.ErrShutdown}},
			true,
			`registry in_progress|registry completed|deploy in_progress|closed`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &platform{}
			_, _, _ = p.follow(t, &parts{fail: test.fail}, test.task, test.last)
			if diff := cmp.Diff(strings.Split(test.want, "|"), p.told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePlatformIsTheTasks(t *testing.T) {
	t.Parallel()
	p := &platform{}
	_, _, err := p.follow(t, &parts{}, imageTask(func(d *tasks.Deploy) { d.BackendURL, d.AccessToken = "https://api.example", "own" }), false)
	want := tasks.PlatformTask{URL: "https://api.example", Token: "own", DeploymentID: "d", ServiceID: "s", DeploymentType: "image"}
	if err != nil || p.about != want {
		t.Errorf("error %v, opened for %+v, want %+v", err, p.about, want)
	}
	if _, _, err := p.follow(t, &parts{}, destroyTask("a"), false); err != nil || p.about != want {
		t.Errorf("error %v; a destroy was told: %+v", err, p.about)
	}
}

func TestAPublicPortWithoutADomainGetsThePlatforms(t *testing.T) {
	t.Parallel()
	public := func(d *tasks.Deploy) {
		d.Networks = []tasks.Network{
			{PortNumber: 1, Public: true, Domain: "mine"}, {PortNumber: 2}, {PortNumber: 3, Public: true}, {PortNumber: 0, Public: true},
		}
	}
	p, doubles := &platform{domain: "given"}, &parts{}
	task := imageTask(public)
	if _, _, err := p.follow(t, doubles, task, false); err != nil {
		t.Fatal(err)
	}
	var domains []string
	for _, n := range doubles.plan.Deploy.Networks {
		domains = append(domains, n.Domain)
	}
	if got := strings.Join(domains, ","); got != "mine,,given," {
		t.Errorf("domains %q, want the one that was asked for at port 3", got)
	}
	if task.Deploy.Networks[2].Domain != "" {
		t.Error("the caller's task was changed")
	}
	p = &platform{}
	l, result, err := p.follow(t, &parts{}, imageTask(public), false)
	if err != nil || len(result.Warnings) != 1 || !strings.Contains(l.log.String(), "port 3 has no domain") {
		t.Errorf("error %v, warnings %q, log %q: want a warning and a deployment", err, result.Warnings, l.log.String())
	}
}
