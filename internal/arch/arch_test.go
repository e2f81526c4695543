// Package arch holds the import graph to the table of docs/architecture.md.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dispatchd/dispatchd/"

// everywhere may stand in any room but those that are pure.
var everywhere = []string{"go.uber.org/zap", "github.com/prometheus/client_golang"}

var pure = []string{"internal/tasks", "internal/hcl", "internal/pack", "internal/redact"}

// room is a row of the table.
type room struct {
	imports []string
	but     []string
	owns    []string
}

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImportsFollowTheTable(t *testing.T) {
	rooms := readRooms(t)
	packages := listPackages(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages: the test looks at nothing", len(packages))
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		row, ok := rooms[name]
		if !ok {
			t.Errorf("package %s has no row in docs/architecture.md", name)
			continue
		}
		for _, imported := range p.Imports {
			if why := row.refuses(name, imported); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
	}
}

// refuses says why a room may not import something; empty where it may.
func (r room) refuses(name, imported string) string {
	if ours, ok := strings.CutPrefix(imported, module); ok {
		allowed := slices.Contains(r.imports, "*") || slices.Contains(r.imports, ours)
		if !allowed || slices.Contains(r.but, ours) {
			return "its row does not allow that room"
		}
		return ""
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	if slices.ContainsFunc(everywhere, under(imported)) && !slices.Contains(pure, name) {
		return ""
	}
	if slices.ContainsFunc(r.owns, under(imported)) {
		return ""
	}
	return "its row does not own that module"
}

func under(path string) func(string) bool {
	return func(prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }
}

var quoted = regexp.MustCompile("`([^`]+)`")

func readRooms(t *testing.T) map[string]room {
	t.Helper()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, begun := strings.Cut(string(text), "<!-- rooms:begin -->")
	table, _, ended := strings.Cut(table, "<!-- rooms:end -->")
	if !begun || !ended {
		t.Fatal("docs/architecture.md has no table between its markers")
	}
	rooms := map[string]room{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], "`") {
			continue
		}
		name := quoted.FindStringSubmatch(cells[1])[1]
		imports, but, _ := strings.Cut(cells[3], " but ")
		rooms[name] = room{imports: words(imports), but: words(but), owns: words(cells[4])}
	}
	return rooms
}

func words(cell string) []string {
	var found []string
	for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
		found = append(found, match[1])
	}
	return found
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "../../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []pkg
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		packages = append(packages, p)
	}
}
