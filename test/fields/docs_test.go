package fields_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/test/fields"
)

const document = "../../docs/fields.md"

// TestDocument holds docs/fields.md to what the fields really change.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- fields:begin -->\n", "<!-- fields:end -->\n"
	head, rest, begun := strings.Cut(string(text), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no table between its markers", document)
	}
	compare(t, document, head+begin+table(t)+end+tail)
}

func table(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("| param | cloudstation.hcl | vars.hcl | job | at work |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range fields.All() {
		cells := []string{code(f.Name), f.Goes, "", "", join(f.Shown)}
		if f.Goes == "" {
			copy(cells[1:4], changes(t, f))
		} else {
			cells[1], cells[3] = "", f.Goes
		}
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
	}
	return out.String()
}

// changes names what the field changes in each file.
func changes(t *testing.T, f fields.Field) []string {
	t.Helper()
	body, err := f.Task()
	before, after := baseOf(t, f), mustRender(t, body, err)
	job := join(short(changed(read(t, before.job), read(t, after.job)), "job."))
	if before.isRefused() != after.isRefused() {
		job = "the pack that makes it"
	}
	return []string{
		join(short(changed(read(t, before.project), read(t, after.project)), "app.")),
		join(roots(changed(read(t, before.variables), read(t, after.variables)))),
		job,
	}
}

// roots are the variables that the places lie in.
func roots(places []string) []string {
	var names []string
	for _, p := range places {
		name, _, _ := strings.Cut(p, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// short names blocks that came or went whole by their first place.
func short(places []string, top string) []string {
	var kept []string
	for _, p := range places {
		inside := slices.ContainsFunc(places, func(other string) bool {
			return strings.HasPrefix(p, other+".") && other != strings.TrimSuffix(top, ".")
		})
		if !inside {
			kept = append(kept, strings.TrimPrefix(p, top))
		}
	}
	return kept
}

func code(name string) string { return "`" + name + "`" }

func join(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = code(name)
	}
	return strings.Join(quoted, ", ")
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// TestNamedTestsExist: a table that names tests nobody runs would be worth nothing.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range testFunction.FindAllStringSubmatch(string(text), -1) {
			known[match[1]] = true
		}
		return err
	})
	if err != nil || len(known) < 100 {
		t.Fatalf("%d tests found: %v", len(known), err)
	}
	for _, f := range fields.All() {
		for _, name := range f.Shown {
			if !known[name] {
				t.Errorf("%s names the test %s, which is nowhere", f.Name, name)
			}
		}
	}
}
