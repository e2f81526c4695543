package hcl_test

import (
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestProjectRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		edit func(s *subject, d *tasks.Deploy)
		want string
	}{
		{"empty job id", func(_ *subject, d *tasks.Deploy) { d.JobID = "" }, "project is empty: it is the job's id"},
		{"blank job id", func(_ *subject, d *tasks.Deploy) { d.JobID = " \n" }, "project is empty: it is the job's id"},
		{"unknown builder", func(s *subject, _ *tasks.Deploy) { s.plan.Builder = "kaniko" }, `unknown builder "kaniko"`},
		{"undecided builder", func(s *subject, _ *tasks.Deploy) { s.plan.Builder = tasks.BuilderDetect }, `unknown builder ""`},
		{"unknown deployer", func(_ *subject, d *tasks.Deploy) { d.Deployer = "helm" }, `unknown deployer "helm"`},
		{"not NFC", func(_ *subject, d *tasks.Deploy) { d.Build.StartCommand = "e\u0301" }, "app.build.start_cmd is not in Unicode's normal form NFC"},
		{"not UTF-8", func(_ *subject, d *tasks.Deploy) { d.JobID = "a\xff" }, "project is not valid UTF-8"},
		{"hostile argument name", arguments("a\" = \"\"\n}\nmalice = \"", "x"), "build_args: "},
		{"argument that begins with a digit", arguments("1A", "x"), `"1A" is no name of an environment variable`},
		{"argument without a name", arguments("", "x"), `"" is no name of an environment variable`},
		{"argument name not NFC", arguments("e\u0301", "x"), "a key of app.build.build_args is not in Unicode's normal form NFC"},
		{"argument not UTF-8", arguments("A", "\xff"), "app.build.build_args.A is not valid UTF-8"},
		{"static name", func(_ *subject, d *tasks.Deploy) { d.Build.StaticBuildEnv = map[string]string{"a-b": ""} }, `static_build_env: "a-b" is no name`},
		{"token that names nothing", token("var.a-b"), "registry.registryToken begins with var."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			c.edit(s, s.plan.Deploy)
			text, err := hcl.Generator{}.Project(s.plan)
			if got := failureMessage(t, err); !strings.Contains(got, c.want) {
				t.Errorf("message = %q, want it to contain %q", got, c.want)
			}
			if text != nil {
				t.Errorf("text = %q beside a failure, want none", text)
			}
		})
	}
}

func arguments(name, value string) func(*subject, *tasks.Deploy) {
	return func(_ *subject, d *tasks.Deploy) { d.Build.BuildArgs = map[string]string{name: value} }
}

func token(secret tasks.Secret) func(*subject, *tasks.Deploy) {
	return func(_ *subject, d *tasks.Deploy) {
		d.PackRegistry = tasks.PackRegistry{RegistrySource: "https://git.test/packs", RegistryToken: secret}
	}
}

func TestProjectHoldsNoSecret(t *testing.T) {
	t.Parallel()
	s := everything(t)
	secrets := tasks.Task{Deploy: s.plan.Deploy}.Secrets()
	if len(secrets) < 6 {
		t.Fatalf("the task has %d secrets, want all of a deployment", len(secrets))
	}
	for name, text := range map[string][]byte{"cloudstation.hcl": project(t, s.plan), "vars.hcl": variables(t, s.plan, s.image)} {
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
}

func TestProjectChoosesThePack(t *testing.T) {
	t.Parallel()
	const source = "https://git.test/packs"
	cases := []struct {
		name     string
		registry tasks.PackRegistry
		want     tasks.ProjectDeploy
	}{
		{"nothing given", tasks.PackRegistry{}, tasks.ProjectDeploy{Pack: "cloudstation", UseEmbedded: true}},
		{"a pack", tasks.PackRegistry{Pack: "webapp"}, tasks.ProjectDeploy{Pack: "webapp", UseEmbedded: true}},
		{"a false that nobody meant", tasks.PackRegistry{UseEmbedded: ptr(tasks.Bool(false))}, tasks.ProjectDeploy{Pack: "cloudstation", UseEmbedded: true}},
		{"a source", tasks.PackRegistry{RegistrySource: source}, tasks.ProjectDeploy{Pack: "cloudstation", RegistrySource: source}},
		{"a source that is not used", tasks.PackRegistry{RegistrySource: source, UseEmbedded: ptr(tasks.Bool(true))}, tasks.ProjectDeploy{Pack: "cloudstation", UseEmbedded: true}},
		{
			"everything",
			tasks.PackRegistry{Pack: "p", RegistryName: "n", RegistrySource: source, RegistryRef: "r", RegistryTarget: "t", UseEmbedded: ptr(tasks.Bool(false))},
			tasks.ProjectDeploy{Pack: "p", RegistryName: "n", RegistrySource: source, RegistryRef: "r", RegistryTarget: "t"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			s.plan.Deploy.PackRegistry = c.registry
			got := parsed(t, s.plan).Deploy
			c.want.Use, c.want.DeploymentName, c.want.VariableFiles = "nomad-pack", "web", []string{"vars.hcl"}
			diff(t, c.want, got)
		})
	}
}

func TestProjectNamesTheImage(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		builder  string
		push     bool
		build    string
		registry *tasks.ProjectRegistry
	}{
		{"pushed", tasks.BuilderDocker, true, "nginx", &tasks.ProjectRegistry{Use: "docker", Image: "registry.test/team/nginx", Tag: "1"}},
		{"not pushed", tasks.BuilderDocker, false, "registry.test/team/nginx", nil},
		{"not built", tasks.BuilderNoop, true, "registry.test/team/nginx", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			s.plan.Builder, s.plan.Push, s.plan.ImageName = c.builder, c.push, "registry.test/team/nginx"
			got := parsed(t, s.plan)
			if got.Build.Name != c.build {
				t.Errorf("build.name = %q, want %q", got.Build.Name, c.build)
			}
			diff(t, c.registry, got.Registry)
		})
	}
}

func TestProjectRefersToSecretsThatAreGiven(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		edit func(s *subject, d *tasks.Deploy)
		line string
		want bool
	}{
		{"no Vault secret", func(*subject, *tasks.Deploy) {}, "= var.vault_secret_id", false},
		{"a Vault secret", func(_ *subject, d *tasks.Deploy) { d.SecretID = "x" }, "secret_id  = var.vault_secret_id", true},
		{"no token", token(""), "= var.registry_token", false},
		{"a token", token("x"), "registry_token  = var.registry_token", true},
		{"a token's usual variable", token("x"), `env       = ["REGISTRY_TOKEN"]`, true},
		{"a token's own variable", token("var.PACKS_TOKEN"), `env       = ["PACKS_TOKEN"]`, true},
		{"Nomad's token", func(*subject, *tasks.Deploy) {}, "nomad_token     = var.nomad_token", true},
		{"no address", func(*subject, *tasks.Deploy) {}, "nomad_addr", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			c.edit(s, s.plan.Deploy)
			text := project(t, s.plan)
			if got := strings.Contains(string(text), c.line); got != c.want {
				t.Errorf("holds %q: %t, want %t:\n%s", c.line, got, c.want, text)
			}
		})
	}
}
