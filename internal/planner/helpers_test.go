package planner_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log is a tasks.Reporter that keeps what it is told.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Stage(tasks.Stage) {}
func (l *log) Stdout() io.Writer { return l }
func (l *log) Stderr() io.Writer { return l }

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// world is a source tree, a folder for the plan, and a place where stand-in
// programs write down how they were called.
type world struct {
	t      testing.TB
	source string
	dir    string
	calls  string
	log    *log
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, source: t.TempDir(), dir: t.TempDir(), calls: t.TempDir(), log: &log{}}
	w.write("package.json", "{}")
	return w
}

// write adds a file to the source; "-> x" is a link to x.
func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.source, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if target, isLink := strings.CutPrefix(content, "-> "); isLink {
		err = errors.Join(err, os.Symlink(target, path))
	} else {
		err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// program installs a stand-in that answers --version, writes down each call,
// and then runs the script, where $CALLS is the place of the records.
func (w *world) program(version, script string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "program")
	text := fmt.Sprintf(`#!/bin/sh
if [ "$1" = --version ]; then echo "%s"; exit; fi
CALLS=%s
for argument; do printf '%%s\0' "$argument"; done >"$CALLS/$1.args"
env >"$CALLS/$1.env"
pwd >"$CALLS/$1.pwd"
for argument; do case $argument in
--out=*) OUT=${argument#--out=} ;;
--plan-out=*) OUT=${argument#--plan-out=} ;;
esac; done
%s
`, version, w.calls, script)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// args are those of the call of a subcommand.
func (w *world) args(subcommand string) []string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.calls, subcommand+".args"))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// env is the environment of such a call.
func (w *world) env(subcommand string) map[string]string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.calls, subcommand+".env"))
	if err != nil {
		w.t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	return env
}

// plan asks for a plan with both builders' programs the same.
func (w *world) plan(program string, change func(*tasks.BuildRequest)) (tasks.BuildPlan, error) {
	w.t.Helper()
	req := tasks.BuildRequest{Builder: tasks.BuilderNixpacks, Dir: w.source, Context: "."}
	if change != nil {
		change(&req)
	}
	p := planner.New(planner.Options{Nixpacks: program, Railpack: program, Environ: workerEnviron()})
	return p.Plan(w.t.Context(), req, w.dir, w.log)
}

// workerEnviron is an environment with what a program must not see.
func workerEnviron() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=http://proxy", "HOME=/root", "NOMAD_TOKEN=worker-secret", "REGISTRY_PASSWORD=worker-secret",
		"NATS_CLIENT_PRIVATE_KEY=worker-secret", "LD_PRELOAD_X=1", "VAULT_TOKEN=worker-secret",
	}
}

func railpack(r *tasks.BuildRequest) { r.Builder = tasks.BuilderRailpack }

// everything is a request that uses all that a plan takes.
func everything(r *tasks.BuildRequest) {
	r.BuildCommand, r.StartCommand = "npm run build -- --x", "--start 'me'"
	r.BuildArgs = map[string]string{"MODE": "arg", "EMPTY": "", "TEXT": "a b\n\"c\" $d"}
	r.StaticBuildEnv = map[string]string{"MODE": "static", "REGION": "eu"}
	r.Secrets = map[string]tasks.Secret{"API_KEY": "build-secret-1", "DB": "build-secret-2"}
}

func checkFailure(t testing.TB, err error, reason tasks.Reason, texts ...string) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a failure with reason %s", err, reason)
	}
	if failure.Reason != reason {
		t.Errorf("got reason %s (%v), want %s", failure.Reason, err, reason)
	}
	for _, text := range texts {
		if !strings.Contains(failure.Message, text) {
			t.Errorf("got message %q, want %q in it", failure.Message, text)
		}
	}
}
