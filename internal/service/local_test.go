package service_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/progress"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/service/servicetest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// newProject writes a project with a Dockerfile and returns its file.
func newProject(t *testing.T, change func(*service.NewProject)) string {
	t.Helper()
	dir := t.TempDir()
	p := service.NewProject{
		File: filepath.Join(dir, "cloudstation.hcl"), Name: "web", Builder: tasks.BuilderDocker, Registry: "reg.example:5000/apps",
	}
	if change != nil {
		change(&p)
	}
	writeFile(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\n")
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	return p.File
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// edit replaces a text in a file.
func edit(t *testing.T, path, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q", path, old)
	}
	writeFile(t, path, strings.Replace(string(text), old, replacement, 1))
}

// localRun is one goal with the parts of a test.
type localRun struct {
	goal  tasks.Goal
	file  string
	given map[string]string
	parts *servicetest.Parts
}

func (r localRun) do(ctx context.Context, t *testing.T, host service.Host) (service.LocalWork, service.LocalResult, error) {
	t.Helper()
	project, err := service.ReadProject(ctx, host.Config, r.file, r.goal)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := r.parts.Open(host.Config)
	if err != nil {
		t.Fatal(err)
	}
	local := service.NewLocal(host, parts)
	defer local.Close()
	work, err := local.Prepare(r.goal, project, r.given)
	if err != nil {
		return work, service.LocalResult{}, err
	}
	shown := progress.NewPlain(progress.Options{Out: new(syncBuffer)})
	result, err := local.Run(ctx, work, shown)
	return work, result, err
}

func TestUpBuildsAndDeploysByDigest(t *testing.T) {
	host, _ := hostFor(t, map[string]string{"REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "hunter22", "NOMAD_TOKEN": "nomad-secret"})
	file := newProject(t, nil)
	edit(t, filepath.Join(filepath.Dir(file), "vars.hcl"), "count = 1", "count = 2")
	parts := &servicetest.Parts{}
	work, result, err := localRun{goal: tasks.GoalUp, file: file, parts: parts}.do(t.Context(), t, host)
	if err != nil {
		t.Fatal(err)
	}
	version := uint64(3)
	result.Seconds = 0
	want := service.LocalResult{
		Goal: tasks.GoalUp, OK: true, Job: "web", Nomad: "http://127.0.0.1:4646", Image: "reg.example:5000/apps/web@" + servicetest.Digest,
		JobVersion: &version, DeploymentID: "dep-1", Allocations: []string{"alloc-1"}, Pushed: true, Registered: true,
		Endpoints: []tasks.Endpoint{{Port: 8080, Address: "127.0.0.1:25000"}},
	}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if got, want := strings.Join(parts.Asked(), " "), "ping info build info register watch"; got != want {
		t.Errorf("asked: %s, want %s", got, want)
	}
	built := parts.Built()[0]
	if built.Dir != filepath.Dir(file) || built.Credentials.Username != "me" || built.Credentials.Password.Reveal() != "hunter22" {
		t.Errorf("built %s as %q", built.Dir, built.Credentials.Username)
	}
	for _, text := range []string{`reg.example:5000/apps/web@` + servicetest.Digest, "count = 2", `to = 8080`} {
		if !strings.Contains(spaceless(parts.Jobs()[0]), spaceless(text)) {
			t.Errorf("the job does not hold %q:\n%s", text, parts.Jobs()[0])
		}
	}
	if got := work.Redactor.String("x hunter22 nomad-secret"); got != "x *** ***" {
		t.Errorf("the secrets are shown: %q", got)
	}
	wantNothingLeft(t, host, file)
}

func spaceless(text string) string { return strings.Join(strings.Fields(text), "") }

// wantNothingLeft looks at the work directory and the project's own.
func wantNothingLeft(t *testing.T, host service.Host, file string) {
	t.Helper()
	left, err := os.ReadDir(host.Config.Worker.WorkDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		t.Errorf("left in the work directory: %v, %v", left, err)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Dir(file))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if got, want := strings.Join(names, " "), "Dockerfile cloudstation.hcl vars.hcl"; err != nil || got != want {
		t.Errorf("the project's directory holds %s, want %s", got, want)
	}
}

func TestLocalFailuresSayWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		goal       tasks.Goal
		asked      string
		fail       error
		want, hint string
	}{
		"no builder":                {tasks.GoalUp, "ping", tasks.Fail(tasks.ReasonBuilderDown, "the builder at unix:///x cannot be reached", nil), "the builder at unix:///x cannot be reached", "BUILDKIT_HOST"},
		"no Nomad before the build": {tasks.GoalUp, "info", tasks.Fail(tasks.ReasonNomadDown, "Nomad: cannot be reached", nil), "Nomad: cannot be reached", "NOMAD_ADDR"},
		"a failing build":           {tasks.GoalBuild, "build", tasks.Fail(tasks.ReasonBuildFailed, "RUN make: exit code 2", nil), "RUN make: exit code 2", ""},
		"no such image":             {tasks.GoalDeploy, "resolve", tasks.Fail(tasks.ReasonImageNotFound, "image x does not exist", nil), "image x does not exist", "dispatchd build"},
		"no such base image":        {tasks.GoalUp, "build", tasks.Fail(tasks.ReasonImageNotFound, "pull base image x (Dockerfile:1): not found", nil), "pull base image x", "its name or tag"},
		"a refused token":           {tasks.GoalDestroy, "destroy", tasks.Fail(tasks.ReasonNomadAuth, "job web: Nomad refused the token", nil), "Nomad refused the token", "NOMAD_TOKEN"},
		"an unhealthy app":          {tasks.GoalUp, "watch", tasks.Fail(tasks.ReasonUnhealthy, "job web: not healthy", nil), "not healthy", ""},
		"an error of our own":       {tasks.GoalBuild, "build", errors.New("strange thing hunter22"), "an error inside dispatchd: strange thing ***", ""},
	} {
		t.Run(name, func(t *testing.T) {
			host, _ := hostFor(t, map[string]string{"REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "hunter22"})
			file := newProject(t, nil)
			parts := &servicetest.Parts{Fail: map[string]error{test.asked: test.fail}}
			_, result, err := localRun{goal: test.goal, file: file, parts: parts}.do(t.Context(), t, host)
			var failure *service.LocalFailure
			if !errors.As(err, &failure) || !strings.Contains(failure.Message, test.want) || !strings.Contains(failure.Hint, test.hint) || result.OK {
				t.Errorf("Run() = %+v, %v, want %q and a hint of %q", result, err, test.want, test.hint)
			}
			if test.goal == tasks.GoalUp && (test.asked == "ping" || test.asked == "info") && len(parts.Built()) > 0 {
				t.Error("it was built though it cannot be deployed")
			}
			wantNothingLeft(t, host, file)
		})
	}
}

func TestUpWithoutARegistryIsRefusedBeforeTheBuild(t *testing.T) {
	host, _ := hostFor(t, nil)
	file := newProject(t, nil)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "  registry {")
	_, after, _ := strings.Cut(rest, "  }\n")
	writeFile(t, file, before+after)
	parts := &servicetest.Parts{}
	_, _, err = localRun{goal: tasks.GoalUp, file: file, parts: parts}.do(t.Context(), t, host)
	if err == nil || !strings.Contains(err.Error(), "no registry block") || !strings.Contains(err.Error(), "registry {") || len(parts.Asked()) > 0 {
		t.Errorf("Run() = %v after %v", err, parts.Asked())
	}
	_, result, err := localRun{goal: tasks.GoalBuild, file: file, parts: parts}.do(t.Context(), t, host)
	if err != nil || result.Pushed || result.Image != "web:latest" {
		t.Errorf("a build alone: %+v, %v, want an image that is not pushed", result, err)
	}
}

func TestCtrlCStopsAndSaysWhatGoesOn(t *testing.T) {
	for name, registered := range map[string]bool{"while it builds": false, "while Nomad rolls it out": true} {
		t.Run(name, func(t *testing.T) {
			host, _ := hostFor(t, nil)
			file := newProject(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			hang := func(ctx context.Context, _ tasks.Reporter) error {
				cancel()
				<-ctx.Done()
				return context.Cause(ctx)
			}
			parts := &servicetest.Parts{OnBuild: hang}
			if registered {
				parts = &servicetest.Parts{OnWatch: hang}
			}
			_, result, err := localRun{goal: tasks.GoalUp, file: file, parts: parts}.do(ctx, t, host)
			if result.Failure == nil || result.Failure.Reason != tasks.ReasonCancelled {
				t.Fatalf("Run() = %+v, %v, want that it was cancelled", result, err)
			}
			if got := strings.Contains(err.Error(), "Nomad goes on with job web without us"); got != registered {
				t.Errorf("the error is %q", err)
			}
			wantNothingLeft(t, host, file)
		})
	}
}

func TestSecretsStayWithTheirServers(t *testing.T) {
	environment := map[string]string{"REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "hunter22", "NOMAD_TOKEN": "nomad-secret"}
	for name, test := range map[string]struct {
		settings, given     map[string]string
		nomadAddr           string
		user, token, warned string
	}{
		"the environment's go to the project's servers": {nil, nil, "", "me", "nomad-secret", ""},
		"a registry of the operator's keeps its own":    {map[string]string{"DISPATCHD_REGISTRY_HOST": "other.example"}, nil, "", "", "nomad-secret", "REGISTRY_PASSWORD is for other.example"},
		"and gives them where it is the project's":      {map[string]string{"DISPATCHD_REGISTRY_HOST": "reg.example:5000"}, nil, "", "me", "nomad-secret", ""},
		"NOMAD_TOKEN goes with NOMAD_ADDR": {
			map[string]string{"NOMAD_ADDR": "http://10.0.0.1:4646"}, nil, "http://10.0.0.2:4646", "me", "", "NOMAD_TOKEN is for NOMAD_ADDR",
		},
		"NOMAD_TOKEN alone goes to the project's": {nil, nil, "http://10.0.0.2:4646", "me", "nomad-secret", ""},
		"what is given goes where the project says": {
			map[string]string{"NOMAD_ADDR": "http://10.0.0.1:4646"},
			map[string]string{"nomad_token": "mine-1", "registry_username": "you"},
			"http://10.0.0.2:4646", "you", "mine-1", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			settings := map[string]string{"NOMAD_ADDR": "", "DISPATCHD_REGISTRY_HOST": ""}
			for _, more := range []map[string]string{environment, test.settings} {
				for key, value := range more {
					settings[key] = value
				}
			}
			host, _ := hostFor(t, settings)
			file := newProject(t, func(p *service.NewProject) { p.NomadAddress = test.nomadAddr })
			parts := &servicetest.Parts{}
			work, _, err := localRun{goal: tasks.GoalUp, file: file, given: test.given, parts: parts}.do(t.Context(), t, host)
			if err != nil {
				t.Fatal(err)
			}
			for _, cluster := range parts.Clusters() {
				if cluster.Token.Reveal() != test.token || cluster.Address != test.nomadAddr {
					t.Errorf("Nomad %q was asked with %q, want %q", cluster.Address, cluster.Token.Reveal(), test.token)
				}
			}
			if got := parts.Built()[0].Credentials.Username; got != test.user {
				t.Errorf("the registry was given the user %q, want %q", got, test.user)
			}
			if warned := strings.Join(work.Warnings, "\n"); !strings.Contains(warned, test.warned) || test.warned == "" && warned != "" {
				t.Errorf("warnings: %q, want %q", warned, test.warned)
			}
		})
	}
}

func TestAValueOfAnUnknownVariableIsRefused(t *testing.T) {
	host, _ := hostFor(t, nil)
	given := map[string]string{"nomad_tokn": "x"}
	_, _, err := localRun{goal: tasks.GoalUp, file: newProject(t, nil), given: given, parts: &servicetest.Parts{}}.do(t.Context(), t, host)
	if err == nil || !strings.Contains(err.Error(), `did you mean "nomad_token"?`) || strings.Contains(err.Error(), "x\n") {
		t.Errorf("Prepare() = %v, want the nearest name", err)
	}
}

// What Vault gives to a build is hidden like what the environment holds.
func TestSecretsOfABuildAreHidden(t *testing.T) {
	host, _ := hostFor(t, map[string]string{"VAULT_SECRET_ID": "id-of-the-role"})
	file := newProject(t, nil)
	edit(t, file, `context    = "."`, "context    = \".\"\n    role_id    = \"role-1\"\n    secret_id  = var.vault_secret_id\n    secrets_path = \"kv/data/p/web\"")
	parts := &servicetest.Parts{
		Secrets: map[string]tasks.Secret{"DB": "planted-in-vault"},
		Fail:    map[string]error{"build": tasks.Fail(tasks.ReasonBuildFailed, "RUN login planted-in-vault id-of-the-role", nil)},
	}
	work, result, err := localRun{goal: tasks.GoalBuild, file: file, parts: parts}.do(t.Context(), t, host)
	if err == nil || result.Failure.Message != "RUN login *** ***" {
		t.Errorf("Run() = %v, want a failure without secrets", err)
	}
	if got := work.Redactor.String("planted-in-vault"); got != "***" {
		t.Errorf("the log would show %q", got)
	}
	if built := parts.Built()[0]; built.Secrets["DB"].Reveal() != "planted-in-vault" {
		t.Errorf("the build got %v", built.Secrets)
	}
}

func TestLocalHostHasNoLog(t *testing.T) {
	t.Setenv("DISPATCHD_WORK_DIR", t.TempDir())
	host, err := service.NewLocalHost(service.Version{Number: "1"})
	if err != nil || host.Log == nil || host.Redactor == nil || host.Version.Number != "1" {
		t.Errorf("NewLocalHost() = %+v, %v", host, err)
	}
	t.Setenv("DISPATCHD_WORK_DIR", "")
	if host, err := service.NewLocalHost(service.Version{}); err != nil || !strings.HasSuffix(host.Config.Worker.WorkDir, strconv.Itoa(os.Getuid())) {
		t.Errorf("the work directory is %s, %v, want one of this user's own", host.Config.Worker.WorkDir, err)
	}
	t.Setenv("DISPATCHD_SLOTS", "many")
	if _, err := service.NewLocalHost(service.Version{}); err == nil {
		t.Error("bad settings are no error")
	}
}
