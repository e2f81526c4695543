package tasks_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// localProject is a project as its file says it.
func localProject(change func(*tasks.Project)) tasks.Project {
	p := tasks.Project{
		Name:     "web",
		Build:    tasks.ProjectBuild{Use: tasks.BuilderDocker, Name: "web", Tag: "1", Context: "app", Dockerfile: "Dockerfile"},
		Registry: &tasks.ProjectRegistry{Use: "docker", Image: "reg.example/web", Tag: "1"},
		Deploy:   tasks.ProjectDeploy{Use: tasks.DeployerNomadPack, DeploymentName: "web", Pack: "cloudstation", UseEmbedded: true},
	}
	if change != nil {
		change(&p)
	}
	return p
}

func (p *parts) handleLocal(t *testing.T, l tasks.Local, policy tasks.Policy) (*listener, tasks.Result, error) {
	t.Helper()
	heard := &listener{}
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p}, policy)
	result, err := h.HandleLocal(t.Context(), l, tasks.Attempt{Dir: t.TempDir(), Last: true}, heard)
	return heard, result, err
}

func TestStepsOfEachLocalGoal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		goal   tasks.Goal
		change func(*tasks.Project)
		stages string
		asked  string
	}{
		"build makes the image": {tasks.GoalBuild, nil, "configure build", "build"},
		"deploy takes what the tag is now": {
			tasks.GoalDeploy, nil, "configure resolve render register watch", "resolve render register watch",
		},
		"up deploys what it has built": {tasks.GoalUp, nil, "configure build render register watch", "build render register watch"},
		"destroy removes the job":      {tasks.GoalDestroy, nil, "destroy", "destroy"},
		"a noop builder is not built": {
			tasks.GoalUp, func(p *tasks.Project) { p.Build.Use = tasks.BuilderNoop },
			"configure resolve render register watch", "resolve render register watch",
		},
		"a noop deployer ends after the build": {
			tasks.GoalUp, func(p *tasks.Project) { p.Deploy.Use = tasks.DeployerNoop }, "configure build", "build",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &parts{}
			heard, _, err := p.handleLocal(t, tasks.Local{Goal: test.goal, Dir: "/src", Project: localProject(test.change)}, tasks.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			if got := joined(heard.stages); got != test.stages {
				t.Errorf("stages: %s, want %s", got, test.stages)
			}
			var asked []string
			for _, what := range p.asked {
				asked = append(asked, strings.Fields(what)[0])
			}
			if got := joined(asked); got != test.asked {
				t.Errorf("asked: %s, want %s", got, test.asked)
			}
		})
	}
}

func TestALocalBuildIsWhatTheFileSays(t *testing.T) {
	t.Parallel()
	p := &parts{}
	project := localProject(func(p *tasks.Project) { p.Build.BuildArgs = map[string]string{"A": "b"} })
	secrets := tasks.LocalSecrets{Registry: tasks.Credentials{Username: "me", Password: "hunter2"}}
	_, result, err := p.handleLocal(t, tasks.Local{Goal: tasks.GoalUp, Dir: "/src", Project: project, Secrets: secrets}, tasks.Policy{
		RegistryHost: "reg.example", RegistryCredentials: tasks.Credentials{Username: "operator", Password: "p"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := tasks.BuildRequest{
		Builder: tasks.BuilderDocker, Dir: "/src", Context: "app", Dockerfile: "Dockerfile", BuildArgs: map[string]string{"A": "b"},
		Name: "reg.example/web", Tag: "1", Push: true, Credentials: secrets.Registry,
	}
	// The run's own directory, wherever that is.
	want.Scratch = p.build.Scratch
	if diff := cmp.Diff(want, p.build); diff != "" || want.Scratch == "" {
		t.Errorf("build request (-want +got):\n%s", diff)
	}
	if got, want := joined(p.vars), "reg.example/web:1 reg.example/web@sha256:built"; got != want {
		t.Errorf("variables were written for %s, want %s", got, want)
	}
	if got, want := result.Image.Reference(), "reg.example/web@sha256:built"; got != want {
		t.Errorf("the result's image is %s, want %s", got, want)
	}
}

func TestALocalImageWithoutARegistryGoesToTheOperators(t *testing.T) {
	t.Parallel()
	policy := tasks.Policy{PushRegistry: "reg.example/apps", RegistryHost: "reg.example", RegistryCredentials: tasks.Credentials{Username: "operator", Password: "p"}}
	for name, test := range map[string]struct {
		image, want, user string
	}{
		"a bare name":     {"web", "reg.example/apps/web", "operator"},
		"a full name":     {"other.example/web", "other.example/web", ""},
		"nobody's secret": {"evil.example/web", "evil.example/web", ""},
	} {
		p := &parts{}
		project := localProject(func(p *tasks.Project) { p.Registry.Image = test.image })
		if _, _, err := p.handleLocal(t, tasks.Local{Goal: tasks.GoalBuild, Project: project}, policy); err != nil {
			t.Fatal(err)
		}
		if p.build.Name != test.want || p.creds.Username != test.user {
			t.Errorf("%s: pushed to %s as %q, want %s as %q", name, p.build.Name, p.creds.Username, test.want, test.user)
		}
	}
}

func TestALocalDestroyKeepsItsFailure(t *testing.T) {
	t.Parallel()
	away := tasks.Fail(tasks.ReasonNomadAuth, "", nil)
	p := &parts{fail: map[string][]error{"destroy web": {away}}}
	_, result, err := p.handleLocal(t, tasks.Local{Goal: tasks.GoalDestroy, Project: localProject(nil)}, tasks.Policy{})
	if err != nil || len(result.Undestroyed) != 1 || result.Undestroyed[0].Failure != away {
		t.Errorf("HandleLocal() = %+v, %v, want the failure of the one job", result.Undestroyed, err)
	}
}

func TestProblemsOfAProject(t *testing.T) {
	t.Parallel()
	if got := localProject(nil).Problems(); len(got) > 0 {
		t.Errorf("a good project has the problems %v", got)
	}
	for want, change := range map[string]func(*tasks.Project){
		`deploy.deployment_name: "my web" must not hold spaces or control characters`: func(p *tasks.Project) { p.Deploy.DeploymentName = "my web" },
		`build.name: "Web" must be an image's name in lower case without tag and digest`: func(p *tasks.Project) {
			p.Build.Name = "Web"
		},
		"build.tag: is empty":                          func(p *tasks.Project) { p.Build.Tag = "" },
		`build.context: "../other" must not hold ".."`: func(p *tasks.Project) { p.Build.Context = "../other" },
		"registry.image: must be an image's name without scheme, user, tag and digest": func(p *tasks.Project) { p.Registry.Image = "https://me:secret@reg.example/web" },
		`registry.tag: "a b" must be an image's tag`:                                   func(p *tasks.Project) { p.Registry.Tag = "a b" },
		"deploy.nomad_addr: must not hold a user or password":                          func(p *tasks.Project) { p.Deploy.NomadAddress = "http://me:secret@nomad.test:4646" },
		"deploy.nomad_addr: expected an http or https address with a host":             func(p *tasks.Project) { p.Deploy.NomadAddress = "nomad.test:4646" },
		`build.dockerfile: "a\\b" must not hold backslashes or control characters`:     func(p *tasks.Project) { p.Build.Dockerfile = `a\b` },
		`deploy.deployment_name: "-web" must not begin with "-"`:                       func(p *tasks.Project) { p.Deploy.DeploymentName = "-web" },
		"build.vault_address: expected an http or https address with a host":           func(p *tasks.Project) { p.Build.VaultAddress = "vault" },
		`build.name: "evil.example:99999x/web" must begin with a registry's host`:      func(p *tasks.Project) { p.Build.Name = "evil.example:99999x/web" },
	} {
		got := localProject(change).Problems()
		if len(got) != 1 || got[0].String() != want {
			t.Errorf("problems: %v, want %s", got, want)
		}
	}
	leading := localProject(func(p *tasks.Project) { p.Build.Context, p.Build.Dockerfile = "/app", "/Dockerfile" })
	if got := leading.Problems(); len(got) > 0 {
		t.Errorf("a leading slash means the project's directory, but: %v", got)
	}
}

func TestImageNameFor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"web": "web", "My App_2": "my-app-2", "--x--": "x", "größe": "gr-e", "日本": "", "": "", ".": "", "a..b": "a-b",
		strings.Repeat("a", 60): strings.Repeat("a", 50), strings.Repeat("a", 49) + "-bc": strings.Repeat("a", 49),
	} {
		if got := tasks.ImageNameFor(text); got != want {
			t.Errorf("ImageNameFor(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFileProblems(t *testing.T) {
	t.Parallel()
	problems := tasks.FileProblems{
		{File: "b.hcl", Line: 9, Column: 2, Text: "late"},
		{File: "a.hcl", Line: 1, Column: 1, Text: "other"},
		{File: "b.hcl", Line: 2, Column: 7, Text: "early"},
		{File: "b.hcl", Text: "whole"},
	}
	problems.Sort()
	if got, want := problems.Error(), "b.hcl: whole; b.hcl:2:7: early; b.hcl:9:2: late; a.hcl:1:1: other"; got != want {
		t.Errorf("problems: %s, want %s", got, want)
	}
	if got := make(tasks.FileProblems, 53).Error(); !strings.HasSuffix(got, "; and 3 more") {
		t.Errorf("many problems end with %q", got[len(got)-20:])
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	known := []string{"deploy", "build", "registry"}
	for name, want := range map[string]string{"biuld": `, did you mean "build"?`, "deplyo": `, did you mean "deploy"?`, "nothing-like-it": ""} {
		if got := tasks.DidYouMean(name, known); got != want {
			t.Errorf("DidYouMean(%q) = %q, want %q", name, got, want)
		}
	}
}
