package fields_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const examples = "../../examples/tasks"

// TestExamples decodes each example and works out what it would run; together
// they have each kind of task, each builder and each kind of source.
func TestExamples(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, path := range examplePaths(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		task, err := tasks.Decode(tasks.Message{Body: text, DefaultID: "t-1"})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		seen[string(task.Kind)] = true
		if task.Deploy == nil {
			continue
		}
		note(seen, task)
		if f, err := render(t.Context(), text); err != nil || f.isRefused() {
			t.Errorf("%s: %v\n%s", path, err, f.job)
		}
	}
	for _, want := range []string{
		"deploy-image", "deploy-repository", "redeploy-repository", "destroy-job-pack",
		"builder csdocker", "builder nixpacks", "builder railpack", "builder noop", "builder ",
		"source github", "source gitlab", "source bitbucket", "source upload", "source image",
	} {
		if !seen[want] {
			t.Errorf("no example is a %q", want)
		}
	}
}

func note(seen map[string]bool, task tasks.Task) {
	d := task.Deploy
	switch {
	case !task.Kind.FromRepository():
		seen["source image"] = true
	case d.SourceType == tasks.SourceLocalUpload:
		seen["source upload"] = true
	default:
		seen["source "+d.Provider], seen["builder "+d.Build.Builder] = true, true
	}
}

// TestExamplesHaveTheirCommand holds the README to the files.
func TestExamplesHaveTheirCommand(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(examples, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	paths := examplePaths(t)
	for _, path := range paths {
		name := filepath.Base(path)
		if row := "| [" + name + "](" + name + ") |"; !strings.Contains(string(readme), row) {
			t.Errorf("the README has no row for %s", name)
		}
		if command := "`dispatchd submit examples/tasks/" + name + "` |"; !strings.Contains(string(readme), command) {
			t.Errorf("the README has not the command %s", command)
		}
	}
	if got := strings.Count(string(readme), ".json` |"); got != len(paths) {
		t.Errorf("the README has %d commands for %d files", got, len(paths))
	}
}

func examplePaths(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(examples, "*.json"))
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d examples: %v", len(paths), err)
	}
	return paths
}
