package service_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// broken changes a good project whose file is cloudstation.hcl in dir.
type broken func(t *testing.T, dir string)

// editProject replaces a text in the project's file, editVariables in its variables.
func editProject(old, replacement string) broken {
	return func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "cloudstation.hcl"), old, replacement) }
}

func editVariables(old, replacement string) broken {
	return func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "vars.hcl"), old, replacement) }
}

func TestReadProjectSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change broken
		want   string
	}{
		"no file": {
			func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "cloudstation.hcl")) },
			"cloudstation.hcl: does not exist: `dispatchd init` writes one",
		},
		"a directory":        {func(t *testing.T, dir string) { replaceBy(t, dir, os.Mkdir) }, "cloudstation.hcl: is no regular file"},
		"a pipe":             {func(t *testing.T, dir string) { replaceBy(t, dir, fifo) }, "cloudstation.hcl: is no regular file"},
		"a huge file":        {func(t *testing.T, dir string) { replaceBy(t, dir, huge) }, "cloudstation.hcl: has more than 1048576 bytes"},
		"broken HCL":         {editProject(`project = "web"`, `project = "web`), "cloudstation.hcl:4:1"},
		"unknown builder":    {editProject(`"csdocker"`, `"kaniko"`), `unknown builder "kaniko": must be one of csdocker, nixpacks, railpack, noop`},
		"unknown deployer":   {editProject(`"nomad-pack"`, `"kubernetes"`), `unknown deployer "kubernetes"`},
		"missing Dockerfile": {editProject(`"Dockerfile"`, `"docker/Dockerfile"`), `cloudstation.hcl:51:18: Dockerfile "docker/Dockerfile" does not exist in the context or beside cloudstation.hcl`},
		"missing context":    {editProject(`context    = "."`, `context    = "app"`), `cloudstation.hcl:50:18: context "app" does not exist`},
		"context above":      {editProject(`context    = "."`, `context    = ".."`), `build.context ".." must not hold ".."`},
		"hostile job":        {editProject(`deployment_name = "web"`, `deployment_name = "web\n; rm -rf /"`), "deploy.deployment_name"},
		"hostile image":      {editProject(`"reg.example:5000/apps/web"`, `"http://evil.example/web"`), "registry.image must be an image's name without scheme"},
		"missing variables": {
			func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "vars.hcl")) },
			`cloudstation.hcl:66:23: variable file "vars.hcl" does not exist`,
		},
		"variables above":         {editProject(`["vars.hcl"]`, `["../../etc/passwd"]`), `variable file "../../etc/passwd" leaves the project's directory`},
		"variables anywhere":      {editProject(`["vars.hcl"]`, `["/etc/passwd"]`), `variable file "/etc/passwd" leaves the project's directory`},
		"variables behind a link": {linked, `variable file "vars.hcl" leaves the project's directory`},
		"a variable's type":       {editVariables("count = 1", `count = "many"`), "vars.hcl:4:9: variable count: a number is required"},
		"an unknown variable":     {editVariables("count = 1", "cuont = 1"), `vars.hcl:4:1: the pack has no variable "cuont", did you mean "count"?`},
		"another job":             {editVariables("count = 1", `job_name = "other"`), `vars.hcl:4:12: job_name is not the deployment_name of cloudstation.hcl, "web"`},
		"broken variables":        {editVariables("count = 1", "count = "), "vars.hcl:4:9: Invalid expression"},
		"what the pack refuses":   {editVariables("count = 1", `config_files = [{ path = "../x", content = "aGk=" }]`), "cloudstation.hcl: render pack cloudstation: "},
		"another pack":            {editProject(`"cloudstation"`, `"acme"`), `cloudstation.hcl:63:23: deploy pack "acme": this build does not embed a pack of that name`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := newProject(t, nil)
			test.change(t, filepath.Dir(file))
			_, err := service.ReadProject(t.Context(), config.Config{}, file, "")
			var problems tasks.FileProblems
			if !errors.As(err, &problems) {
				t.Fatalf("ReadProject() = %v, want problems", err)
			}
			got := strings.ReplaceAll(problems.Error(), filepath.Dir(file)+"/", "")
			if !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
				t.Errorf("problems:\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// replaceBy puts something else in the place of the project's file.
func replaceBy(t *testing.T, dir string, put func(path string, mode os.FileMode) error) {
	t.Helper()
	path := filepath.Join(dir, "cloudstation.hcl")
	remove(t, path)
	if err := put(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func fifo(path string, mode os.FileMode) error { return syscall.Mkfifo(path, uint32(mode)) }

func huge(path string, mode os.FileMode) error {
	return os.WriteFile(path, make([]byte, 1<<20+1), mode)
}

// linked makes the variables a link to a file outside.
func linked(t *testing.T, dir string) {
	outside := filepath.Join(t.TempDir(), "vars.hcl")
	writeFile(t, outside, "count = 1\n")
	remove(t, filepath.Join(dir, "vars.hcl"))
	if err := os.Symlink(outside, filepath.Join(dir, "vars.hcl")); err != nil {
		t.Fatal(err)
	}
}

func TestReadProjectNamesProblemsOfAllFilesAtOnce(t *testing.T) {
	t.Parallel()
	file := newProject(t, nil)
	dir := filepath.Dir(file)
	editProject(`"Dockerfile"`, `"Dokcerfile"`)(t, dir)
	editVariables("count = 1", "cuont = 1")(t, dir)
	editVariables("memory = 300", "memroy = 300")(t, dir)
	_, err := service.ReadProject(t.Context(), config.Config{}, file, "")
	var problems tasks.FileProblems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("ReadProject() = %v, want 3 problems", err)
	}
	for i, want := range []string{"Dokcerfile", "cuont", "memroy"} {
		if !strings.Contains(problems[i].Text, want) {
			t.Errorf("problem %d is %s, want that of %s", i, problems[i], want)
		}
	}
}

// A goal needs only what it uses: a destroy works when the source has gone.
func TestAGoalNeedsOnlyWhatItUses(t *testing.T) {
	t.Parallel()
	file := newProject(t, nil)
	remove(t, filepath.Join(filepath.Dir(file), "Dockerfile"))
	read := func(goal tasks.Goal) error {
		_, err := service.ReadProject(t.Context(), config.Config{}, file, goal)
		return err
	}
	for goal, fails := range map[tasks.Goal]bool{tasks.GoalBuild: true, tasks.GoalUp: true, tasks.GoalDeploy: false, tasks.GoalDestroy: false} {
		if err := read(goal); (err != nil) != fails {
			t.Errorf("without a Dockerfile %s: %v", goal, err)
		}
	}
	remove(t, filepath.Join(filepath.Dir(file), "vars.hcl"))
	if err := read(tasks.GoalDeploy); err == nil {
		t.Error("a deploy needs no variables")
	}
	if err := read(tasks.GoalDestroy); err != nil {
		t.Errorf("without variables destroy: %v", err)
	}
}

func TestAnotherImageInTheVariablesIsAWarning(t *testing.T) {
	t.Parallel()
	file := newProject(t, nil)
	editVariables("count = 1", "image = \"redis:7\"\ncount = 1")(t, filepath.Dir(file))
	project, err := service.ReadProject(t.Context(), config.Config{}, file, "")
	if err != nil || len(project.Warnings) != 1 || !strings.Contains(project.Warnings[0], "vars.hcl:4:9: image is not taken from here: it is reg.example:5000/apps/web:latest") {
		t.Errorf("ReadProject() = %q, %v, want a warning", project.Warnings, err)
	}
}

func TestNewProjectLeavesFilesAlone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cloudstation.hcl", "vars.hcl"} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, name), "mine")
		p := service.NewProject{File: filepath.Join(dir, "cloudstation.hcl"), Name: "web", Builder: tasks.BuilderNixpacks}
		if err := p.Write(); err == nil || !strings.Contains(err.Error(), name+" exists already: --force overwrites it") {
			t.Errorf("with a %s: %v", name, err)
		}
		entries, _ := os.ReadDir(dir)
		if text, _ := os.ReadFile(filepath.Join(dir, name)); string(text) != "mine" || len(entries) != 1 {
			t.Errorf("with a %s: it holds %q now, and there are %d files", name, text, len(entries))
		}
		p.Force = true
		if err := p.Write(); err != nil {
			t.Error(err)
		}
	}
}

// Where the second file cannot be written, the first is as it was.
func TestNewProjectIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"nothing": "", "a file": "mine"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "cloudstation.hcl")
		if before != "" {
			writeFile(t, file, before)
		}
		if err := os.Mkdir(filepath.Join(dir, "vars.hcl"), 0o700); err != nil {
			t.Fatal(err)
		}
		p := service.NewProject{File: file, Name: "web", Builder: tasks.BuilderDocker, Force: true}
		if err := p.Write(); err == nil || !strings.Contains(err.Error(), "vars.hcl") {
			t.Errorf("%s: Write() = %v, want that vars.hcl cannot be written", name, err)
		}
		if text, _ := os.ReadFile(file); string(text) != before {
			t.Errorf("%s: cloudstation.hcl holds %q now", name, text)
		}
	}
}

func TestNewProjectRefusesWhatWouldNotBeValid(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*service.NewProject){
		`build.name "My App" must be an image's name in lower case`: func(p *service.NewProject) { p.Name = "My App" },
		`unknown builder "kaniko"`:                                  func(p *service.NewProject) { p.Builder = "kaniko" },
		"registry.image":                                            func(p *service.NewProject) { p.Registry = "https://me:secret@reg.example" },
		"build.dockerfile":                                          func(p *service.NewProject) { p.Dockerfile = "../Dockerfile" },
		"deploy.nomad_addr expected an http":                        func(p *service.NewProject) { p.NomadAddress = "nomad:4646" },
		"is empty":                                                  func(p *service.NewProject) { p.Name = "" },
	} {
		dir := t.TempDir()
		p := service.NewProject{File: filepath.Join(dir, "cloudstation.hcl"), Name: "web", Builder: tasks.BuilderDocker, Registry: "reg.example"}
		change(&p)
		err := p.Write()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("Write() = %v, want %q", err, want)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%s: a file was written", want)
		}
	}
}

func TestAProjectOfAnotherNameHasItsOwnVariables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"web", "worker"} {
		p := service.NewProject{File: filepath.Join(dir, name+".hcl"), Name: name, Builder: tasks.BuilderNixpacks, Ports: []tasks.Port{{Number: 9000, Protocol: "tcp"}}}
		if err := p.Write(); err != nil {
			t.Fatal(err)
		}
		project, err := service.ReadProject(t.Context(), config.Config{}, p.File, "")
		if err != nil || project.Project.Deploy.VariableFiles[0] != name+".vars.hcl" {
			t.Errorf("%s: %+v, %v", name, project.Project.Deploy.VariableFiles, err)
		}
	}
}

// TestTheExampleIsValid holds examples/hello to what it is an example of.
func TestTheExampleIsValid(t *testing.T) {
	t.Parallel()
	project, err := service.ReadProject(t.Context(), config.Config{}, "../../examples/hello/cloudstation.hcl", "")
	if err != nil || len(project.Warnings) > 0 || project.Image.Reference() != "127.0.0.1:5000/hello:latest" {
		t.Errorf("ReadProject() = %v, %q, %v", project.Image, project.Warnings, err)
	}
}
