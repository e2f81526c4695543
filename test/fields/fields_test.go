package fields_test

import (
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/packs"
	"github.com/dispatchd/dispatchd/test/fields"
)

var update = flag.Bool("update", false, "write testdata and docs/fields.md")

// files are what a task becomes, in the order in which it does.
type files struct{ project, variables, job string }

// handler renders as a worker does; it has read the pack once for all tests.
var handler = tasks.NewHandler(tasks.Parts{Configurer: hcl.Generator{}, Renderer: pack.New(packs.Files(), pack.Options{})}, tasks.Policy{})

// render is what a worker makes of a task. A pack that is not ours stops it at
// the job.
func render(ctx context.Context, body []byte) (files, error) {
	task, err := tasks.Decode(tasks.Message{Body: body, DefaultID: "t-1"})
	if err != nil {
		return files{}, err
	}
	p, err := handler.Preview(ctx, task)
	f := files{string(p.Project), string(p.Variables), string(p.Job)}
	if failure := tasks.AsFailure(err); err != nil && failure.Reason == tasks.ReasonUnsupported && f.variables != "" {
		f.job, err = refused, nil
	}
	return f, err
}

const refused = "# the pack is not one of ours\n"

func (f files) isRefused() bool { return f.job == refused }

func mustRender(t *testing.T, body []byte, err error) files {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f, err := render(t.Context(), body)
	if err != nil {
		t.Fatalf("render %s: %v", body, err)
	}
	return f
}

func (f files) diff(other files) string {
	return unified("cloudstation.hcl", f.project, other.project) +
		unified("vars.hcl", f.variables, other.variables) +
		unified("job", f.job, other.job)
}

func TestBases(t *testing.T) {
	t.Parallel()
	for _, b := range fields.Bases {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			body, err := b.Task()
			f := mustRender(t, body, err)
			text := "# cloudstation.hcl\n" + f.project + "\n# vars.hcl\n" + f.variables + "\n# job\n" + f.job
			compare(t, filepath.Join("testdata", "bases", strings.ReplaceAll(b.Name, " ", "-")+".hcl"), text)
		})
	}
}

// TestFields holds what each param changes to its golden file.
func TestFields(t *testing.T) {
	t.Parallel()
	for _, f := range fields.All() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			body, err := f.Task()
			diff := baseOf(t, f).diff(mustRender(t, body, err))
			if f.Goes == "" {
				compare(t, filepath.Join("testdata", golden(f)), "# "+f.Name+" on "+f.Base+": "+onOneLine(t, f.Params)+"\n"+diff)
				return
			}
			if diff != "" {
				t.Errorf("it goes to %s, but changes the files too:\n%s", f.Goes, diff)
			}
		})
	}
}

// TestEveryFieldHasATask: a new param of a deploy task needs an entry.
func TestEveryFieldHasATask(t *testing.T) {
	t.Parallel()
	var got []string
	for _, f := range fields.All() {
		got = append(got, f.Name)
	}
	want := slices.Sorted(maps.Keys(leafTypes(reflect.TypeFor[tasks.Deploy](), "")))
	if len(want) < 100 {
		t.Fatalf("%d params: the test looks at too few", len(want))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("params of a deploy task (-code +entries):\n%s", diff)
	}
}

// TestGoldensBelongToFields finds files that nothing writes any more.
func TestGoldensBelongToFields(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.diff")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	known := map[string]bool{}
	for _, f := range fields.All() {
		known[golden(f)] = f.Goes == ""
	}
	for _, path := range paths {
		if !known[filepath.Base(path)] {
			t.Errorf("%s belongs to no field that changes a file", path)
		}
	}
}

// leafTypes lists the params of a type that hold no params themselves.
func leafTypes(of reflect.Type, above string) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for i := range of.NumField() {
		name, field := above+of.Field(i).Tag.Get("json"), of.Field(i).Type
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		switch {
		case field.Kind() == reflect.Slice && field.Elem().Kind() == reflect.Struct:
			maps.Copy(all, leafTypes(field.Elem(), name+"[]."))
		case field.Kind() == reflect.Struct && field != reflect.TypeFor[tasks.Text]():
			maps.Copy(all, leafTypes(field, name+"."))
		default:
			all[name] = field
		}
	}
	return all
}

func baseOf(t *testing.T, f fields.Field) files {
	t.Helper()
	for _, b := range fields.Bases {
		if b.Name == f.Base {
			body, err := b.Task()
			return mustRender(t, body, err)
		}
	}
	t.Fatalf("no base %q", f.Base)
	return files{}
}

func golden(f fields.Field) string { return strings.ReplaceAll(f.Name, "[]", "") + ".diff" }

func onOneLine(t *testing.T, params string) string {
	t.Helper()
	var value map[string]json.RawMessage
	if err := json.Unmarshal([]byte(params), &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update:\n%s", path, diff)
	}
}
