package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// parts are every port at once, in memory, with what was asked of them.
type parts struct {
	asked []string
	fail  map[string][]error
	// files are put into the tree by clone.
	files map[string]string
	build tasks.BuildRequest
	creds tasks.Credentials
	vars  []string
	// project is what the parser returns, where the test wants to see that it is obeyed.
	project func(tasks.Project) tasks.Project
	render  tasks.RenderRequest
	plan    tasks.Plan
	image   *tasks.Image
}

func (p *parts) ask(what string) error {
	p.asked = append(p.asked, what)
	if queue := p.fail[what]; len(queue) > 0 {
		p.fail[what] = queue[1:]
		return queue[0]
	}
	return nil
}

func (p *parts) Clone(_ context.Context, _ tasks.Source, dir string, _ tasks.Reporter) (tasks.Revision, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return tasks.Revision{}, err
	}
	for name, text := range p.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return tasks.Revision{}, err
		}
	}
	return tasks.Revision{Commit: "0123456789abcdef"}, p.ask("clone")
}

func (p *parts) Project(plan tasks.Plan) ([]byte, error) {
	p.plan = plan
	return []byte("project " + plan.Builder), p.ask("project")
}

func (p *parts) ParseProject(text []byte) (tasks.Project, error) {
	d := p.plan.Deploy
	project := tasks.Project{
		Name:   d.JobID,
		Build:  tasks.ProjectBuild{Use: p.plan.Builder, Name: p.plan.ImageName, Tag: p.plan.ImageTag, Context: ".", Dockerfile: "Dockerfile"},
		Deploy: tasks.ProjectDeploy{Use: d.Deployer, DeploymentName: d.JobID, Pack: "cloudstation"},
	}
	if p.project != nil {
		project = p.project(project)
	}
	return project, p.ask("parse " + string(text))
}

func (p *parts) Variables(_ tasks.Plan, image tasks.Image) ([]byte, error) {
	p.vars = append(p.vars, image.Reference())
	return []byte("image = " + image.Reference()), nil
}

func (p *parts) Build(_ context.Context, req tasks.BuildRequest, _ tasks.Reporter) (tasks.Image, error) {
	p.build, p.creds = req, req.Credentials
	image := tasks.Image{Name: req.Name, Tag: req.Tag, Digest: "sha256:built"}
	if !req.Push {
		image.Digest = ""
	}
	return image, p.ask("build")
}

func (p *parts) Resolve(_ context.Context, name, tag string, creds tasks.Credentials) (tasks.Image, error) {
	p.creds = creds
	if p.image != nil {
		return *p.image, p.ask("resolve")
	}
	return tasks.Image{Name: name, Tag: tag, Digest: "sha256:resolved"}, p.ask("resolve")
}

func (p *parts) Render(_ context.Context, req tasks.RenderRequest) ([]byte, error) {
	p.render = req
	return []byte("job"), p.ask("render")
}

func (p *parts) Info(context.Context, tasks.Cluster) (tasks.ClusterInfo, error) {
	return tasks.ClusterInfo{Consul: true, VaultByRole: true}, nil
}

func (p *parts) Register(ctx context.Context, _ tasks.Cluster, spec tasks.JobSpec) (tasks.Registration, error) {
	if err := spec.Guard.Ask(ctx); err != nil {
		return tasks.Registration{}, err
	}
	return tasks.Registration{JobID: spec.JobID}, p.ask("register " + spec.JobID + " " + spec.TaskID)
}

func (p *parts) Watch(context.Context, tasks.Cluster, tasks.Registration, tasks.Reporter) (tasks.Deployed, error) {
	return tasks.Deployed{}, p.ask("watch")
}

func (p *parts) Destroy(ctx context.Context, _ tasks.Cluster, spec tasks.DestroySpec, _ tasks.Reporter) error {
	if err := spec.Guard.Ask(ctx); err != nil {
		return err
	}
	return p.ask("destroy " + spec.JobID)
}

// listener keeps the stages and the log.
type listener struct {
	stages []tasks.Stage
	log    strings.Builder
}

func (l *listener) Stage(s tasks.Stage) { l.stages = append(l.stages, s) }
func (l *listener) Stdout() io.Writer   { return &l.log }
func (l *listener) Stderr() io.Writer   { return &l.log }

func (p *parts) handle(t *testing.T, task tasks.Task, policy tasks.Policy, last bool) (*listener, tasks.Result, error) {
	t.Helper()
	l := &listener{}
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p}, policy)
	result, err := h.Handle(t.Context(), task, tasks.Attempt{Dir: t.TempDir(), Last: last}, l)
	return l, result, err
}

func repositoryTask(change func(*tasks.Deploy)) tasks.Task {
	d := &tasks.Deploy{
		JobID: "web", DeploymentID: "d", ServiceID: "s", ImageName: "web", ImageTag: "latest",
		Deployer: tasks.DeployerNomadPack, Repository: "acme/web", Branch: "main", Provider: "github",
		Build: tasks.Build{Builder: tasks.BuilderDocker},
	}
	if change != nil {
		change(d)
	}
	return tasks.Task{ID: "t1", Kind: tasks.KindDeployRepository, Deploy: d}
}

func imageTask(change func(*tasks.Deploy)) tasks.Task {
	task := repositoryTask(change)
	task.Kind = tasks.KindDeployImage
	return task
}

func joined[T any](values []T) string { return strings.Trim(fmt.Sprint(values), "[]") }

func TestStepsOfEachTask(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		task   tasks.Task
		stages string
		vars   string
	}{
		"a repository is cloned, built and deployed by digest": {
			repositoryTask(nil), "clone configure build render register watch", "web:latest web@sha256:built",
		},
		"an image is resolved and deployed by digest": {
			imageTask(nil), "configure resolve render register watch", "web:latest web@sha256:resolved",
		},
		"a repository whose builder is noop deploys the named image": {
			repositoryTask(func(d *tasks.Deploy) { d.Build.Builder = tasks.BuilderNoop }),
			"clone configure resolve render register watch", "web:latest web@sha256:resolved",
		},
		"a noop deployer ends after the build": {
			repositoryTask(func(d *tasks.Deploy) { d.Deployer = tasks.DeployerNoop }), "clone configure build", "web:latest",
		},
		"an image with a noop deployer asks nobody": {
			imageTask(func(d *tasks.Deploy) { d.Deployer = tasks.DeployerNoop }), "configure", "web:latest",
		},
		"an image that is not pushed is looked up at its registry": {
			repositoryTask(func(d *tasks.Deploy) { d.Build.DisablePush = true }),
			"clone configure build resolve render register watch", "web:latest web@sha256:resolved",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &parts{}
			l, _, err := p.handle(t, test.task, tasks.Policy{}, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := joined(l.stages); got != test.stages {
				t.Errorf("stages: %s, want %s", got, test.stages)
			}
			if got := joined(p.vars); got != test.vars {
				t.Errorf("vars.hcl was written for %s, want %s", got, test.vars)
			}
		})
	}
}

func TestWhatWasParsedIsWhatRuns(t *testing.T) {
	t.Parallel()
	p := &parts{project: func(project tasks.Project) tasks.Project {
		project.Build.Context, project.Build.Dockerfile = "parsed", "parsed/Dockerfile"
		project.Registry = &tasks.ProjectRegistry{Image: "reg.example/parsed", Tag: "7"}
		project.Deploy.DeploymentName = "parsed-job"
		return project
	}}
	if _, _, err := p.handle(t, repositoryTask(nil), tasks.Policy{}, false); err != nil {
		t.Fatal(err)
	}
	if p.build.Context != "parsed" || p.build.Dockerfile != "parsed/Dockerfile" || p.build.Name != "reg.example/parsed" || p.build.Tag != "7" {
		t.Errorf("the build was asked for %+v, not for what the file says", p.build)
	}
	if got := joined(p.asked); !strings.Contains(got, "register parsed-job t1") {
		t.Errorf("asked: %s, want the parsed job registered", got)
	}
}

func TestBuilderIsDetected(t *testing.T) {
	t.Parallel()
	for files, want := range map[string]string{"Dockerfile": tasks.BuilderDocker, "package.json": tasks.BuilderNixpacks} {
		p := &parts{files: map[string]string{files: ""}}
		l, _, err := p.handle(t, repositoryTask(func(d *tasks.Deploy) { d.Build.Builder = "" }), tasks.Policy{}, false)
		if err != nil {
			t.Fatal(err)
		}
		if p.build.Builder != want || !strings.Contains(l.log.String(), "builder: "+want) {
			t.Errorf("with %s the builder is %q and the log %q, want %s", files, p.build.Builder, l.log.String(), want)
		}
	}
}

func TestCredentialsGoToTheirOwnRegistryAlone(t *testing.T) {
	t.Parallel()
	operator := tasks.Policy{RegistryHost: "reg.example:5000", RegistryCredentials: tasks.Credentials{Username: "operator", Password: "p"}}
	tests := map[string]struct {
		change func(*tasks.Deploy)
		want   string
	}{
		"the operator's go to the operator's registry":  {func(d *tasks.Deploy) { d.ImageName = "reg.example:5000/web" }, "operator"},
		"the operator's do not follow a task elsewhere": {func(d *tasks.Deploy) { d.ImageName = "evil.example/web" }, ""},
		"nor to Docker Hub":                             {func(d *tasks.Deploy) { d.ImageName = "web" }, ""},
		"the task's own go to the registry that it names": {func(d *tasks.Deploy) {
			d.ImageName = "mine.example/web"
			d.Build.RegistryURL, d.Build.RegistryUsername, d.Build.RegistryPassword = "https://mine.example", "mine", "p"
		}, "mine"},
		"the task's own do not go to another": {func(d *tasks.Deploy) {
			d.ImageName = "other.example/web"
			d.Build.RegistryURL, d.Build.RegistryUsername, d.Build.RegistryPassword = "mine.example", "mine", "p"
		}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &parts{}
			if _, _, err := p.handle(t, imageTask(test.change), operator, false); err != nil {
				t.Fatal(err)
			}
			if p.creds.Username != test.want {
				t.Errorf("credentials of %q were sent, want %q", p.creds.Username, test.want)
			}
		})
	}
}

// A first part in capitals is a host to docker, whose builder would log in there.
func TestTheOperatorsCredentialsDoNotFollowAHostInCapitals(t *testing.T) {
	t.Parallel()
	operator := tasks.Policy{RegistryHost: "docker.io", RegistryCredentials: tasks.Credentials{Username: "operator", Password: "p"}}
	for _, address := range []string{"EVIL", "https://EVIL", "eviL"} {
		p := &parts{}
		change := func(d *tasks.Deploy) { d.Build.PrivateRegistry, d.Build.RegistryURL = true, address }
		if _, _, err := p.handle(t, repositoryTask(change), operator, false); err != nil {
			t.Fatal(err)
		}
		if p.build.Credentials.Username != "" {
			t.Errorf("registryUrl %q: credentials of %q were sent with %s", address, p.build.Credentials.Username, p.build.Name)
		}
	}
}

func TestBuiltImagesGoToTheRightRegistry(t *testing.T) {
	t.Parallel()
	policy := tasks.Policy{PushRegistry: "reg.example/apps"}
	tests := map[string]struct {
		change func(*tasks.Deploy)
		want   string
	}{
		"a bare name goes to the operator's registry": {nil, "reg.example/apps/web"},
		"a full name stays":                           {func(d *tasks.Deploy) { d.ImageName = "other.example/web" }, "other.example/web"},
		"a private registry is the task's": {func(d *tasks.Deploy) {
			d.Build.PrivateRegistry, d.Build.RegistryURL, d.Build.RegistryNamespace = true, "https://mine.example", "team"
		}, "mine.example/team/web"},
	}
	for name, test := range tests {
		p := &parts{}
		if _, _, err := p.handle(t, repositoryTask(test.change), policy, false); err != nil {
			t.Fatal(err)
		}
		if p.build.Name != test.want {
			t.Errorf("%s: pushed to %s, want %s", name, p.build.Name, test.want)
		}
	}
}

func TestAnUnresolvedImageIsDeployedByTagAndSaysSo(t *testing.T) {
	t.Parallel()
	p := &parts{image: &tasks.Image{Name: "private.example/web", Tag: "1", Unresolved: "the registry refused us"}}
	l, result, err := p.handle(t, imageTask(nil), tasks.Policy{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !p.render.ForcePull {
		t.Error("the job does not force a pull")
	}
	if len(result.Warnings) != 1 || !strings.Contains(l.log.String(), "the registry refused us") {
		t.Errorf("warnings %q, log %q: want one that says why", result.Warnings, l.log.String())
	}
}

func TestTransientFailuresAreRetriedInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := tasks.Fail(tasks.ReasonRegistryDown, "", nil)
		p := &parts{fail: map[string][]error{"build": {down, down, down, down}}}
		began := time.Now()
		if _, _, err := p.handle(t, repositoryTask(nil), tasks.Policy{}, false); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(joined(p.asked), "build"); got != 5 {
			t.Errorf("built %d times, want 5", got)
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("the waits took %s, want 1+2+4+8 s", took)
		}
	})
}

func TestPermanentFailuresAreNotRetried(t *testing.T) {
	t.Parallel()
	p := &parts{fail: map[string][]error{"build": {tasks.Fail(tasks.ReasonBuildFailed, "", nil)}}}
	_, _, err := p.handle(t, repositoryTask(nil), tasks.Policy{}, false)
	if got := tasks.AsFailure(err); got.Reason != tasks.ReasonBuildFailed || strings.Count(joined(p.asked), "build") != 1 {
		t.Errorf("failure %v after %q", got, p.asked)
	}
}

func destroyTask(jobs ...string) tasks.Task {
	d := &tasks.Destroy{Reason: "delete"}
	for _, job := range jobs {
		d.Jobs = append(d.Jobs, tasks.DestroyJob{JobID: job, ServiceID: "s-" + job})
	}
	return tasks.Task{ID: "t1", Kind: tasks.KindDestroyJobPack, Destroy: d}
}

func TestOneJobThatStaysDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	p := &parts{fail: map[string][]error{"destroy b": {tasks.Fail(tasks.ReasonNomadAuth, "", nil)}}}
	_, result, err := p.handle(t, destroyTask("a", "b", "c"), tasks.Policy{}, false)
	if err != nil {
		t.Fatalf("the task failed: %v", err)
	}
	if len(result.Destroyed) != 2 || len(result.Undestroyed) != 1 || result.Undestroyed[0].Job.JobID != "b" {
		t.Errorf("destroyed %v, undestroyed %v", result.Destroyed, result.Undestroyed)
	}
}

func TestAnUnreachableNomadIsRetriedAndThenCounted(t *testing.T) {
	t.Parallel()
	down := tasks.Fail(tasks.ReasonNomadDown, "", nil)
	for _, last := range []bool{false, true} {
		p := &parts{fail: map[string][]error{"destroy a": {down, down}}}
		_, result, err := p.handle(t, destroyTask("a"), tasks.Policy{Retry: tasks.Retry{Times: 1, First: time.Millisecond}}, last)
		if last && (err != nil || len(result.Undestroyed) != 1) {
			t.Errorf("in the last attempt: %v, %v, want success and one undestroyed job", result, err)
		}
		if !last && !errors.Is(err, down) {
			t.Errorf("before the last attempt: %v, want the failure, so that the task comes back", err)
		}
	}
}

// lastBreath removes the job and ends the task's context while it does so.
type lastBreath struct {
	*parts
	stop context.CancelCauseFunc
}

func (l lastBreath) Destroy(context.Context, tasks.Cluster, tasks.DestroySpec, tasks.Reporter) error {
	l.stop(tasks.ErrTimeout)
	return nil
}

func TestAJobThatIsGoneWhenTheContextEndsIsCounted(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancelCause(t.Context())
	h := tasks.NewHandler(tasks.Parts{Deployer: lastBreath{parts: &parts{}, stop: stop}}, tasks.Policy{})
	result, err := h.Handle(ctx, destroyTask("a", "b"), tasks.Attempt{Dir: t.TempDir()}, &listener{})
	if !errors.Is(err, tasks.ErrTimeout) || len(result.Destroyed) != 1 || result.Destroyed[0].JobID != "a" {
		t.Errorf("destroyed %v, error %v, want a and the timeout", result.Destroyed, err)
	}
}

func TestTheCauseOfAnEndedContextBeatsTheError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(tasks.ErrTimeout)
	p := &parts{fail: map[string][]error{"project": {errors.New("signal: killed")}}}
	h := tasks.NewHandler(tasks.Parts{Configurer: p}, tasks.Policy{})
	_, err := h.Handle(ctx, imageTask(nil), tasks.Attempt{Dir: t.TempDir()}, &listener{})
	if !errors.Is(err, tasks.ErrTimeout) {
		t.Errorf("error = %v, want the timeout", err)
	}
}

func TestAnUnknownKindIsRefused(t *testing.T) {
	t.Parallel()
	h := tasks.NewHandler(tasks.Parts{}, tasks.Policy{})
	_, err := h.Handle(t.Context(), tasks.Task{Kind: "dance"}, tasks.Attempt{}, &listener{})
	if got := tasks.AsFailure(err).Reason; got != tasks.ReasonUnsupported {
		t.Errorf("reason = %s, want unsupported", got)
	}
}
