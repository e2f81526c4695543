package hcl_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// goldens are the cases of testdata: each folder holds the params of a task
// and the two files that are made of it.
var goldens = []struct {
	name  string
	kind  tasks.Kind
	image tasks.Image
	// builder, name and push are what the worker decides.
	builder string
	repo    string
	push    bool
}{
	{
		name: "image-minimal", kind: tasks.KindDeployImage, builder: tasks.BuilderNoop, repo: "nginx",
		image: tasks.Image{Name: "nginx", Tag: "latest", Digest: digest, Ports: tcpPorts(80)},
	},
	{
		name: "image-unresolved", kind: tasks.KindDeployImage, builder: tasks.BuilderNoop, repo: "registry.test/team/app",
		image: tasks.Image{Name: "registry.test/team/app", Tag: "1.2"},
	},
	{
		name: "repository-minimal", kind: tasks.KindDeployRepository, builder: tasks.BuilderDocker, repo: "registry.test/web", push: true,
		image: tasks.Image{Name: "registry.test/web", Tag: "latest"},
	},
	{
		name: "repository-nixpacks", kind: tasks.KindRedeployRepository, builder: tasks.BuilderNixpacks, repo: "web",
		image: tasks.Image{Name: "web", Tag: "latest"},
	},
	{
		name: "everything", kind: tasks.KindDeployRepository, builder: tasks.BuilderDocker, repo: "registry.test/team/web", push: true,
		image: tasks.Image{Name: "registry.test/team/web", Tag: "v7", Digest: digest, Ports: tcpPorts(80, 443)},
	},
	{
		name: "hostile", kind: tasks.KindDeployRepository, builder: tasks.BuilderDocker, repo: "registry.test/web", push: true,
		image: tasks.Image{Name: "registry.test/web", Tag: "latest"},
	},
}

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, c := range goldens {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := subjectOf(t, c.name, tasks.Plan{Builder: c.builder, ImageName: c.repo, Push: c.push}, c.image)
			compare(t, c.name, "cloudstation.hcl", project(t, s.plan))
			compare(t, c.name, "vars.hcl", variables(t, s.plan, s.image))
		})
	}
}

// subjectOf reads the params of a case and completes the plan with them.
func subjectOf(t testing.TB, name string, plan tasks.Plan, image tasks.Image) *subject {
	t.Helper()
	kind := tasks.KindDeployRepository
	for _, c := range goldens {
		if c.name == name {
			kind = c.kind
		}
	}
	params := readFile(t, filepath.Join("testdata", name, "params.json"))
	task, err := tasks.DecodeMeta(string(kind), string(params), "task-1")
	if err != nil {
		t.Fatalf("decode the params of %s: %v", name, err)
	}
	plan.Deploy, plan.ImageTag = task.Deploy, task.Deploy.ImageTag
	return &subject{plan: plan, image: image}
}

// compare holds a text to its golden file, or writes that file.
func compare(t *testing.T, folder, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", folder, file)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(readFile(t, path)), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func project(t *testing.T, plan tasks.Plan) []byte {
	t.Helper()
	text, err := hcl.Generator{}.Project(plan)
	if err != nil {
		t.Fatalf("Project: %v", err)
	}
	return text
}

func variables(t *testing.T, plan tasks.Plan, image tasks.Image) []byte {
	t.Helper()
	text, err := hcl.Generator{}.Variables(plan, image)
	if err != nil {
		t.Fatalf("Variables: %v", err)
	}
	return text
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
