//go:build e2e

package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// laptop is a directory with an app, and an environment without NATS.
type laptop struct {
	t       *testing.T
	dir     string
	job     string
	env     []string
	workDir string
}

func newLaptop(t *testing.T, job string, files map[string]string) *laptop {
	t.Helper()
	l := &laptop{t: t, dir: t.TempDir(), job: newJob(t, job), workDir: t.TempDir()}
	l.env = withEnv(shared.env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "TMPDIR="+t.TempDir(), "DISPATCHD_WORK_DIR="+l.workDir)
	l.write(files)
	return l
}

func (l *laptop) write(files map[string]string) {
	l.t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *laptop) file() string { return filepath.Join(l.dir, "cloudstation.hcl") }

// start runs a command on the project.
func (l *laptop) start(command string, args ...string) *process {
	l.t.Helper()
	return startProcess(l.t, l.env, append([]string{command, "--config", l.file()}, args...)...)
}

// wants runs a command to its end.
func (l *laptop) wants(code int, command string, args ...string) *process {
	l.t.Helper()
	p := l.start(command, args...)
	if got := p.exit(patience); got != code {
		l.t.Fatalf("dispatchd %s exits with %d, want %d:\n%s%s", command, got, code, p.out.String(), p.err.String())
	}
	return p
}

// quick makes the variables those of an app that is healthy within seconds.
func (l *laptop) quick() {
	l.write(map[string]string{"vars.hcl": `update  = { min_healthy_time = "1s", healthy_deadline = "20s", progress_deadline = "25s" }
network = [{ port = 8080, type = "http", health_check = { type = "http", path = "/healthz", interval = "1s", timeout = "1s" } }]
`})
}

// wantNothingLeft looks for what a command left in the file system.
func (l *laptop) wantNothingLeft(files int) {
	l.t.Helper()
	if left, err := os.ReadDir(l.workDir); err != nil || len(left) > 0 {
		l.t.Errorf("left in the work directory: %v, %v", left, err)
	}
	if entries, err := os.ReadDir(l.dir); err != nil || len(entries) != files {
		l.t.Errorf("the project's directory holds %v, want %d files", entries, files)
	}
}

// result is what -o json prints.
type result struct {
	OK         bool
	Image      string
	JobVersion uint64 `json:"job_version"`
	Endpoints  []struct {
		Port    int
		Address string
	}
	Failure struct{ Reason, Message, Hint string }
}

func (p *process) result() result {
	p.t.Helper()
	var r result
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil {
		p.t.Fatalf("the result is no JSON: %v\n%s", err, p.out.String())
	}
	return r
}

// TestAProjectOfALaptopFromInitToDestroy is the whole way without NATS, in a pipe.
func TestAProjectOfALaptopFromInitToDestroy(t *testing.T) {
	t.Parallel()
	files := sample(t, testbed.Sample{Version: "1"})
	l := newLaptop(t, "laptop", files)
	p := l.wants(0, "init", "--name", l.job)
	wantAll(t, "init", p.out.String(), "found Go (go.mod) and Dockerfile, which exposes 8080", "pushed to "+shared.bed.Registry.Addr()+"/apps/"+l.job)
	p = l.wants(0, "validate")
	wantAll(t, "validate", p.out.String(), "is valid: app "+l.job)
	l.quick()

	p = l.wants(0, "up")
	wantAll(t, "the progress", p.err.String(), "==> build", "==> push", "==> register", "hello 1 starts on port 8080", "==> done")
	wantAll(t, "the result", p.out.String(), "job "+l.job+" version 0 is healthy", "image "+shared.bed.Registry.Addr()+"/apps/"+l.job+"@sha256:", "port 8080 at ")
	if got := answer(t, l.job); got != "hello from 1\n" {
		t.Errorf("the app answers %q", got)
	}

	l.write(sample(t, testbed.Sample{Version: "2"}))
	r := l.wants(0, "up", "-o", "json").result()
	if !r.OK || r.JobVersion != 1 || len(r.Endpoints) != 1 || r.Image != jobImage(t, l.job) {
		t.Fatalf("up -o json says %+v, the job runs %s", r, jobImage(t, l.job))
	}
	if got := get(t, "http://"+r.Endpoints[0].Address+"/"); got != "hello from 2\n" {
		t.Errorf("after the change the app answers %q", got)
	}

	l.write(sample(t, testbed.Sample{Version: "3"}))
	built := l.wants(0, "build", "-o", "json").result()
	p = l.wants(0, "deploy", "--dry-run")
	wantAll(t, "the plan", p.out.String(), "~ job "+l.job, "~ image: ", "nothing was changed at "+shared.bed.Nomad.Addr())
	if version := *readJob(t, l.job).Version; version != 1 {
		t.Errorf("a dry run makes version %d", version)
	}
	deployed := l.wants(0, "deploy", "-o", "json").result()
	if built.Image != deployed.Image || built.Image != jobImage(t, l.job) || deployed.JobVersion != 2 {
		t.Errorf("built %s, deployed %+v", built.Image, deployed)
	}

	if p := l.wants(1, "destroy"); !strings.Contains(p.err.String(), "--yes") || !jobExists(t, l.job) {
		t.Errorf("destroy in a pipe: %s", p.err.String())
	}
	p = l.wants(0, "destroy", "--yes")
	wantAll(t, "destroy", p.out.String(), "job "+l.job+" is gone from "+shared.bed.Nomad.Addr())
	if jobExists(t, l.job) {
		t.Error("the job is still there")
	}
	l.wantNothingLeft(len(files) + 2)
}

// TestCtrlCStopsTheBuildOfALaptop: the solve ends, and so does the command.
func TestCtrlCStopsTheBuildOfALaptop(t *testing.T) {
	t.Parallel()
	files := running(t, "1", "echo it begins; sleep 120")
	l := newLaptop(t, "interrupted", files)
	l.wants(0, "init", "--name", l.job)
	p := l.start("up")
	eventually(t, patience, "the build runs", func() bool { return strings.Contains(p.err.String(), "it begins\n") })
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(10 * time.Second); code != 130 {
		t.Errorf("exit code %d, want 130:\n%s", code, p.err.tail(5))
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	wantAll(t, "the output", p.err.String(), "==> interrupted", "dispatchd: interrupted")
	if jobExists(t, l.job) {
		t.Error("a job was registered")
	}
	l.wantNothingLeft(len(files) + 2)
}

// TestBadEndsOfALaptop: each is one sentence that says what to do.
func TestBadEndsOfALaptop(t *testing.T) {
	t.Parallel()
	files := running(t, "1", "echo the disk of dreams is missing; exit 3")
	l := newLaptop(t, "bad-ends", files)
	l.wants(0, "init", "--name", l.job)
	ends := func(want []string, command string, env ...string) {
		t.Helper()
		args := append(strings.Fields(command), "--config", l.file(), "-o", "json")
		p := startProcess(t, withEnv(l.env, env...), args...)
		if code := p.exit(patience); code != 1 {
			t.Errorf("%s with %v exits with %d, want 1", command, env, code)
		}
		wantAll(t, command, p.err.tail(1), append(want, "dispatchd: ")...)
		if r := p.result(); r.OK || r.Failure.Reason == "" || r.Failure.Message == "" {
			t.Errorf("%s -o json says %+v", command, r)
		}
		l.wantNothingLeft(len(files) + 2)
	}
	ends([]string{"unix:///nowhere/buildkitd.sock", "BUILDKIT_HOST"}, "up", "BUILDKIT_HOST=unix:///nowhere/buildkitd.sock")
	ends([]string{"NOMAD_ADDR"}, "up", "NOMAD_ADDR=http://127.0.0.1:1")
	ends([]string{"dispatchd build"}, "deploy")
	ends([]string{"RUN echo the disk", "exit code 3", "the disk of dreams is missing"}, "build")
	l.write(sample(t, testbed.Sample{Version: "1"}))
	ends([]string{"REGISTRY_PASSWORD"}, "build", "REGISTRY_PASSWORD=wrong")
	ends([]string{"NOMAD_TOKEN"}, "up", "NOMAD_TOKEN=11111111-1111-1111-1111-111111111111")
	ends([]string{"NOMAD_TOKEN"}, "destroy --yes", "NOMAD_TOKEN=11111111-1111-1111-1111-111111111111")
}
