package testbed_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// goodNomad stands in for Nomad's module: go build makes the same package path
// of it, and it says a version.
const goodNomad = `package main

import "fmt"

func main() { fmt.Println("Nomad v1.6.1") }
`

func TestEnsureBuildsOnceForTwo(t *testing.T) {
	t.Parallel()
	opts, log := fakeCheckout(t, goodNomad)
	var done sync.WaitGroup
	for range 2 {
		done.Go(func() {
			tools, err := testbed.Ensure(t.Context(), opts)
			if want := filepath.Join(opts.Cache, "nomad/1.6.1/nomad"); err != nil || tools.Nomad != want {
				t.Errorf("Ensure = %q, %v; want %q", tools.Nomad, err, want)
			}
		})
	}
	done.Wait()
	if got := strings.Count(log.String(), "building nomad"); got != 1 {
		t.Errorf("it was built %d times, want once; the log says:\n%s", got, log)
	}
	noBuildDirs(t, opts.Cache)
}

func TestEnsureLeavesNothingOfABrokenBuild(t *testing.T) {
	t.Parallel()
	opts, _ := fakeCheckout(t, "package main\n\nfunc main() { undefinedName() }\n")
	_, err := testbed.Ensure(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "build nomad 1.6.1") || !strings.Contains(err.Error(), "undefinedName") {
		t.Errorf("Ensure says %v, want what was built and the compiler's words", err)
	}
	if _, err := os.Stat(filepath.Join(opts.Cache, "nomad/1.6.1/nomad")); !os.IsNotExist(err) {
		t.Errorf("the program after a broken build: %v, want none", err)
	}
	noBuildDirs(t, opts.Cache)
}

func TestEnsureRebuildsWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	opts, _ := fakeCheckout(t, goodNomad)
	path := filepath.Join(opts.Cache, "nomad/1.6.1/nomad")
	write(t, path, "half a program")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	tools, err := testbed.Ensure(t.Context(), opts)
	if err != nil || tools.Nomad != path {
		t.Errorf("Ensure = %q, %v; want %q", tools.Nomad, err, path)
	}
}

func TestPlanNamesWhatItWouldDo(t *testing.T) {
	t.Parallel()
	opts, log := fakeCheckout(t, goodNomad)
	plan, err := testbed.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Empty() || len(plan.Builds) != 1 || plan.Builds[0] != "nomad 1.6.1" {
		t.Errorf("Builds = %q, want nomad 1.6.1", plan.Builds)
	}
	if want := filepath.Join(opts.Cache, "nomad/1.6.1"); !strings.Contains(plan.String(), want) {
		t.Errorf("the plan does not name %s:\n%s", want, plan)
	}
	if _, err := os.Stat(opts.Cache); !os.IsNotExist(err) || log.String() != "" {
		t.Errorf("the plan alone has done something: %v, %q", err, log)
	}
}

// fakeCheckout is a checkout whose Nomad is the given program.
func fakeCheckout(t *testing.T, nomad string) (testbed.Options, *log) {
	t.Helper()
	if err := testbed.CheckHost(); err != nil {
		t.Skip("SKIP: ", err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "test/tools/nomad/go.mod"), "module github.com/hashicorp/nomad\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "test/tools/nomad/main.go"), nomad)
	out := &log{}
	opts := testbed.Options{Root: dir, Cache: filepath.Join(dir, "cache"), Log: out, Need: testbed.NeedNomad}
	plan, err := testbed.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if path := plan.Found["nomad"]; path != "" && !strings.HasPrefix(path, dir) {
		t.Skip("SKIP: this machine has a nomad of its own at " + path)
	}
	return opts, out
}

func noBuildDirs(t *testing.T, cache string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(cache, "*/*/.build-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// log takes lines from several goroutines.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
