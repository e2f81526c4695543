package hcl_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// sample is a cloudstation.hcl as a person might write it.
const sample = `project = "web"

app "web" {
  build {
    use  = "csdocker"
    name = "web"
  }
  registry {
    use      = "docker"
    image    = "registry.test/web"
    username = var.user
    password = var.user
  }
  deploy {
    use             = "nomadpack"
    deployment_name = "web"
    nomad_token     = var.user
  }
}

variable "user" {
  type      = string
  default   = ""
  sensitive = true
  env       = ["REGISTRY_USERNAME"]
}
`

func TestParseProjectFillsDefaults(t *testing.T) {
	t.Parallel()
	got, err := hcl.Generator{}.ParseProject([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := tasks.Project{
		Name:     "web",
		Build:    tasks.ProjectBuild{Use: "csdocker", Name: "web", Tag: "latest", Context: ".", Dockerfile: "Dockerfile"},
		Registry: &tasks.ProjectRegistry{Use: "docker", Image: "registry.test/web", Tag: "latest"},
		Deploy:   tasks.ProjectDeploy{Use: "nomad-pack", DeploymentName: "web", Pack: "cloudstation", UseEmbedded: true},
	}
	user := tasks.SecretVariable{Name: "user", Env: []string{"REGISTRY_USERNAME"}}
	want.Secrets = tasks.ProjectSecrets{RegistryUsername: user, RegistryPassword: user, NomadToken: user}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseProject (-want +got):\n%s", diff)
	}
}

func TestParseProjectReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	got, err := hcl.Generator{}.ParseProject(project(t, everything(t).plan))
	if err != nil {
		t.Fatal(err)
	}
	want := tasks.Project{
		Name: "web",
		Build: tasks.ProjectBuild{
			Use: "csdocker", Name: "web", Tag: "v7", Context: "apps/web", Dockerfile: "docker/Dockerfile.web",
			BuildCommand: "make", StartCommand: "exec serve",
			BuildArgs: map[string]string{"for": "loop", "VERSION": "7"}, StaticBuildEnv: map[string]string{"NODE_ENV": "production"},
			VaultAddress: "https://vault.test:8200", RoleID: "role-1", SecretsPath: "kv/app",
		},
		Registry: &tasks.ProjectRegistry{Use: "docker", Image: "registry.test/team/web", Tag: "v7"},
		Deploy: tasks.ProjectDeploy{
			Use: "nomad-pack", DeploymentName: "web", Pack: "webapp", RegistryName: "platform", RegistrySource: "https://git.test/packs",
			RegistryRef: "v2", RegistryTarget: "main", NomadAddress: "https://nomad.test:4646", VariableFiles: []string{"vars.hcl"},
		},
		Secrets: tasks.ProjectSecrets{
			RegistryUsername: tasks.SecretVariable{Name: "registry_username", Env: []string{"REGISTRY_USERNAME"}},
			RegistryPassword: tasks.SecretVariable{Name: "registry_password", Env: []string{"REGISTRY_PASSWORD"}},
			PackToken:        tasks.SecretVariable{Name: "registry_token", Env: []string{"REGISTRY_TOKEN"}},
			NomadToken:       tasks.SecretVariable{Name: "nomad_token", Env: []string{"NOMAD_TOKEN"}},
			VaultSecretID:    tasks.SecretVariable{Name: "vault_secret_id", Env: []string{"VAULT_SECRET_ID"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseProject (-want +got):\n%s", diff)
	}
}

// replace is an edit of the sample.
func replace(old, new string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, new, 1) }
}

// refused are edits of the sample, each with what the failure must say.
var refused = []struct {
	name string
	edit func(string) string
	want string
}{
	{"unknown builder", replace(`"csdocker"`, `"kaniko"`), `line 5, column 12: unknown builder "kaniko": must be one of csdocker, nixpacks, railpack, noop`},
	{"unknown deployer", replace(`"nomadpack"`, `"kubernetes"`), `line 15, column 23: unknown deployer "kubernetes": must be one of nomad-pack, nomadpack, noop`},
	{"unknown registry", replace(`"docker"`, `"oci"`), `line 9, column 16: unknown registry "oci"`},
	{"empty job id", replace(`deployment_name = "web"`, `deployment_name = " "`), "line 16, column 23: deployment_name is empty: it is the job's id"},
	{"empty project", replace(`project = "web"`, `project = ""`), "line 1, column 11: project is empty"},
	{"empty app", replace(`app "web"`, `app ""`), "line 3, column 5: the app's name is empty"},
	{"app without a name", replace(`app "web"`, `app`), "line 3, column 5: Missing name for app"},
	{"unknown attribute", replace(`name = "web"`, `nam = "web"`), "line 6, column 5: Unsupported argument"},
	{"missing attribute", replace(`    name = "web"`, ``), `Missing required argument: The argument "name" is required`},
	{"unknown block", replace(`registry {`, `registries {`), "line 8, column 3: Unsupported block type"},
	{"missing block", replace("app \"web\" {\n  build {", "app \"web\" {\n  registry {"), "a block build is missing"},
	{"two of a block", replace("deploy {", "build {\n    use = \"noop\"\n    name = \"x\"\n  }\n  deploy {"), "line 14, column 3: only one block build is allowed"},
	{"two apps", replace("variable", "app \"b\" {}\nvariable"), "only one block app is allowed"},
	{"two variables of a name", func(s string) string { return s + "variable \"user\" {}\n" }, `variable "user" is declared twice`},
	{"undeclared variable", replace(`username = var.user`, `username = var.usr`), `line 11, column 16: variable "usr" is not declared`},
	{"reference to something else", replace(`username = var.user`, `username = local.user`), "line 11, column 16: username must be var.NAME"},
	{"reference with an index", replace(`username = var.user`, `username = var["user"]`), "line 11, column 16: username must be var.NAME"},
	{"reference below a variable", replace(`username = var.user`, `username = var.user.x`), "line 11, column 16: username must be var.NAME"},
	{"secret in the file", replace(`username = var.user`, `username = "hunter2"`), "line 11, column 16: username must be var.NAME: a secret never stands in this file"},
	{"secret inside a text", replace(`username = var.user`, `username = "${var.user}"`), "line 11, column 16: username must be var.NAME"},
	{"secret as a default", replace(`default   = ""`, `default   = "hunter2"`), "line 23, column 15: default must be empty"},
	{"variable where a text belongs", replace(`name = "web"`, `name = "${var.user}"`), "line 6, column 15: name must be a plain value"},
	{"function call", replace(`name = "web"`, `name = upper("web")`), "line 6, column 12: Function calls not allowed"},
	{"number where a text belongs", replace(`name = "web"`, `name = 1.10`), "line 6, column 12: name must be a string"},
	{"null", replace(`name = "web"`, `name = null`), "line 6, column 12: name must be a string"},
	{"text where a list belongs", replace(`env       = ["REGISTRY_USERNAME"]`, `env = "X"`), "line 25, column 9: env must be a list of strings"},
	{"list where a map belongs", replace(`name = "web"`, "name = \"web\"\n    build_args = []"), "line 7, column 18: build_args must be a map"},
	{"number in a list", replace(`["REGISTRY_USERNAME"]`, `[1]`), "line 25, column 16: env must be a string"},
	{"other type", replace(`type      = string`, `type = number`), "line 22, column 10: type must be string"},
	{"name of an argument", replace(`name = "web"`, "name = \"web\"\n    build_args = { \"a-b\" = \"x\" }"), `line 7, column 20: build_args: "a-b" is no name of an environment variable`},
	{"argument given twice", replace(`name = "web"`, "name = \"web\"\n    build_args = { A = \"x\", \"A\" = \"y\" }"), `line 7, column 29: build_args has "A" twice`},
	{"no HCL", func(string) string { return "project = \"web" }, "line 1, column"},
	{"empty file", func(string) string { return "" }, `The argument "project" is required`},
}

func TestParseProjectRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := c.edit(sample)
			if text == sample {
				t.Fatal("the edit changes nothing")
			}
			_, err := hcl.Generator{}.ParseProject([]byte(text))
			got := failureMessage(t, err)
			if !strings.Contains(got, c.want) {
				t.Errorf("message = %q, want it to contain %q", got, c.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("message shows the secret: %q", got)
			}
		})
	}
}

func TestParseProjectNamesSeveralProblemsInOrder(t *testing.T) {
	t.Parallel()
	text := sample
	for _, edit := range []func(string) string{replace(`"nomadpack"`, `"x"`), replace(`"csdocker"`, `"y"`)} {
		text = edit(text)
	}
	_, err := hcl.Generator{}.ParseProject([]byte(text))
	got := failureMessage(t, err)
	builder, deployer := strings.Index(got, "unknown builder"), strings.Index(got, "unknown deployer")
	if builder < 0 || deployer < builder {
		t.Errorf("message = %q, want the builder and then the deployer", got)
	}
}
