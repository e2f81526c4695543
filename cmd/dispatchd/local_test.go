package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/service/servicetest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// shell runs command lines in a directory with an app; the builder, the
// registry and Nomad are the parts.
type shell struct {
	t     *testing.T
	dir   string
	parts *servicetest.Parts
	in    string
	// out and err are what the last command said.
	out, err string
}

func newShell(t *testing.T, files map[string]string) *shell {
	t.Helper()
	s := &shell{t: t, dir: t.TempDir(), parts: &servicetest.Parts{Fail: map[string]error{}}}
	for name, text := range files {
		s.write(name, text)
	}
	// The settings are the process's: these tests are not parallel.
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "DISPATCHD_") || strings.HasPrefix(name, "NOMAD_") || strings.HasPrefix(name, "REGISTRY_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("DISPATCHD_WORK_DIR", t.TempDir())
	t.Chdir(s.dir)
	return s
}

func (s *shell) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// run returns the exit code.
func (s *shell) run(ctx context.Context, args ...string) int {
	var out, errs bytes.Buffer
	code := executeRoot(ctx, newRoot(s.parts.Open), args, streams{strings.NewReader(s.in), &out, &errs})
	s.out, s.err = out.String(), errs.String()
	return code
}

// wants runs a command line and holds it to its exit code and its words.
func (s *shell) wants(code int, line string, words ...string) {
	s.t.Helper()
	if got := s.run(s.t.Context(), strings.Fields(line)...); got != code {
		s.t.Errorf("dispatchd %s exits with %d, want %d\n%s%s", line, got, code, s.out, s.err)
	}
	for _, word := range words {
		if !strings.Contains(s.out+s.err, word) {
			s.t.Errorf("dispatchd %s does not say %q:\n%s%s", line, word, s.out, s.err)
		}
	}
}

// sentence holds a failure to one plain sentence on standard error.
func (s *shell) sentence(line string, words ...string) {
	s.t.Helper()
	s.wants(exitFailed, line, words...)
	if last := strings.TrimSuffix(s.err, "\n"); !strings.HasPrefix(s.err, "dispatchd: ") || strings.Contains(last, "\n") {
		s.t.Errorf("dispatchd %s says more than a sentence: %q", line, s.err)
	}
}

const exposing = "FROM scratch\nEXPOSE 8080\n"

func TestFromInitToDestroy(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing, "go.mod": "module x"})
	s.wants(exitOK, "init --name web --registry reg.example:5000/apps",
		"found Go (go.mod) and Dockerfile, which exposes 8080", "wrote cloudstation.hcl: app web, built with csdocker, pushed to reg.example:5000/apps/web:latest",
		"wrote vars.hcl", "next: dispatchd up")
	s.wants(exitOK, "validate", "cloudstation.hcl is valid: app web")
	s.wants(exitOK, "build", "==> build (", "building reg.example:5000/apps/web:latest", "image reg.example:5000/apps/web@"+servicetest.Digest)
	s.wants(exitOK, "deploy --dry-run", "==> plan", "+ job web", "nothing was changed at http://127.0.0.1:4646")
	s.wants(exitOK, "deploy", "==> resolve", "job web version 3 is healthy at http://127.0.0.1:4646", "port 8080 at 127.0.0.1:25000")
	s.wants(exitOK, "up", "==> push", "==> watch", "==> done", "job web version 3 is healthy")
	if strings.Contains(s.out, "==>") || strings.Contains(s.err, "healthy at") {
		t.Errorf("progress is on standard error, the result on standard output:\n%s\n%s", s.out, s.err)
	}
	s.sentence("destroy", "destroy job web at http://127.0.0.1:4646", "--yes")
	s.wants(exitOK, "destroy --yes", "job web is gone from http://127.0.0.1:4646")
	if got, want := strings.Join(s.parts.Asked(), " "), "ping build info resolve info plan info resolve info register watch ping info build info register watch info destroy"; got != want {
		t.Errorf("asked: %s, want %s", got, want)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 4 {
		t.Errorf("the directory holds %v, want the app and the two files", entries)
	}
}

func TestResultsAsJSON(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	s.wants(exitOK, "init --name web --registry reg.example")
	for _, goal := range []string{"build", "deploy", "up", "destroy --yes"} {
		s.wants(exitOK, goal+" -o json")
		var result struct {
			Command, Job string
			OK           bool
			Failure      any
		}
		if err := json.Unmarshal([]byte(s.out), &result); err != nil || !result.OK || result.Job != "web" || result.Command != strings.Fields(goal)[0] || result.Failure != nil {
			t.Errorf("%s: %v\n%s", goal, err, s.out)
		}
	}
	s.parts.Fail["build"] = tasks.Fail(tasks.ReasonBuildFailed, "RUN make: exit code 2", nil)
	s.wants(exitFailed, "up -o json", "dispatchd: RUN make: exit code 2")
	var failed struct {
		OK      bool
		Failure struct{ Reason, Message string }
	}
	if err := json.Unmarshal([]byte(s.out), &failed); err != nil || failed.OK || failed.Failure.Reason != "build_failed" || failed.Failure.Message == "" {
		t.Errorf("the failure as JSON: %v\n%s", err, s.out)
	}
}

func TestValidateNamesPlaces(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	s.wants(exitOK, "init --name web --registry reg.example")
	s.write("cloudstation.hcl", strings.Replace(s.read("cloudstation.hcl"), `"csdocker"`, `"csdoker"`, 1))
	s.sentence("validate", `cloudstation.hcl:47:18: unknown builder "csdoker"`, `did you mean "csdocker"?`)
	s.write("vars.hcl", "cuont = 1\n")
	s.wants(exitFailed, "validate", `vars.hcl:1:1: the pack has no variable "cuont", did you mean "count"?`, "dispatchd: cloudstation.hcl is not valid: 2 problems")
	s.wants(exitFailed, "up", "dispatchd: cloudstation.hcl is not valid: 2 problems")
	s.wants(exitFailed, "validate -o json")
	var v verdict
	if err := json.Unmarshal([]byte(s.out), &v); err != nil || v.Valid || len(v.Problems) != 2 || v.Problems[0].Line != 47 || v.Problems[0].Column != 18 {
		t.Errorf("the verdict: %v\n%s", err, s.out)
	}
	if asked := s.parts.Asked(); len(asked) > 0 {
		t.Errorf("a project that is not valid asks for %v", asked)
	}
}

func TestBadInputIsOneSentence(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	s.sentence("up", "cloudstation.hcl: does not exist: `dispatchd init` writes one")
	s.sentence("validate --config nowhere/web.hcl", "nowhere")
	s.sentence("init --name Web!", `"Web!" must be an image's name in lower case`)
	s.sentence("init --builder kaniko", `unknown builder "kaniko"`)
	s.sentence("init --port 70000", "the port 70000 is none")
	s.sentence("init --config nowhere/web.hcl", "nowhere")
	s.wants(exitOK, "init --name web --registry reg.example")
	s.sentence("init", "cloudstation.hcl exists already: --force overwrites it")
	s.wants(exitOK, "init --force --name web2 --registry reg.example --port 9000", "app web2")
	if text := s.read("vars.hcl"); !strings.Contains(text, "9000") {
		t.Errorf("vars.hcl has no port 9000:\n%s", text)
	}
	s.sentence("up --var nomad_tokn=x", `did you mean "nomad_token"?`)
	s.wants(exitUsage, "up --var x", "--var is NAME=VALUE")
	s.wants(exitUsage, "up -o yaml", `--output is text or json, got "yaml"`)
	s.wants(exitUsage, "up --progress loud", "--progress is auto, tty or plain")
	s.wants(exitUsage, "destroy web", "destroy takes no arguments")
	s.parts.Fail["ping"] = tasks.Fail(tasks.ReasonBuilderDown, "the builder at unix:///x cannot be reached", errors.New("dial"))
	s.sentence("up", "the builder at unix:///x cannot be reached", "BUILDKIT_HOST")
	s.parts.Fail["info"] = tasks.Fail(tasks.ReasonNomadDown, "Nomad: cannot be reached", nil)
	s.sentence("deploy", "Nomad: cannot be reached", "NOMAD_ADDR")
	s.sentence("destroy --yes", "Nomad: cannot be reached", "NOMAD_ADDR")
	t.Setenv("BUILDKIT_HOST", "ftp://x")
	s.sentence("build", "ftp://x")
}

func TestCtrlCExitsWith130(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	s.wants(exitOK, "init --name web --registry reg.example")
	ctx, cancel := context.WithCancel(t.Context())
	s.parts.OnBuild = func(ctx context.Context, _ tasks.Reporter) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	if code := s.run(ctx, "up", "-o", "json"); code != exitInterrupted || !strings.Contains(s.err, "==> interrupted") || !strings.HasSuffix(s.err, "dispatchd: interrupted\n") {
		t.Errorf("up exits with %d, want %d:\n%s", code, exitInterrupted, s.err)
	}
	if !strings.Contains(s.out, `"reason": "cancelled"`) {
		t.Errorf("the result is %s", s.out)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	t.Setenv("REGISTRY_USERNAME", "me")
	t.Setenv("REGISTRY_PASSWORD", "planted-password")
	s.wants(exitOK, "init --name web --registry reg.example")
	s.parts.OnBuild = func(_ context.Context, rep tasks.Reporter) error {
		_, _ = rep.Stdout().Write([]byte("ENV planted-password planted-token\n"))
		return tasks.Fail(tasks.ReasonBuildFailed, "RUN login planted-password planted-token", nil)
	}
	for _, output := range []string{"text", "json"} {
		s.wants(exitFailed, "up --var nomad_token=planted-token -o "+output, "ENV *** ***", "RUN login *** ***")
		if strings.Contains(s.out+s.err, "planted") {
			t.Errorf("a secret is shown:\n%s%s", s.out, s.err)
		}
	}
	for _, file := range []string{"cloudstation.hcl", "vars.hcl"} {
		if strings.Contains(s.read(file), "planted") {
			t.Errorf("%s holds a secret", file)
		}
	}
}

func TestNoopParts(t *testing.T) {
	s := newShell(t, nil)
	s.wants(exitOK, "init --name web --builder noop --registry reg.example", "app web runs reg.example/web:latest")
	s.wants(exitOK, "build", "nothing is built: the builder is noop")
	s.wants(exitOK, "up", "==> resolve", "image reg.example/web@")
	s.write("cloudstation.hcl", strings.Replace(s.read("cloudstation.hcl"), `"nomad-pack"`, `"noop"`, 1))
	s.wants(exitOK, "deploy", "nothing is deployed: the deployer is noop")
}
