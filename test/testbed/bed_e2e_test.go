//go:build e2e

package testbed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

func TestBedRunsAnImageByDigest(t *testing.T) {
	t.Parallel()
	bed := startBed(t, testbed.Options{})
	deployHello(t, bed, "hello", "1")
	closeBed(t, bed)
}

// TestTwoBedsAtOnce holds both up at the same time, and the second goes on
// after the first has gone.
func TestTwoBedsAtOnce(t *testing.T) {
	t.Parallel()
	first := startBed(t, testbed.Options{})
	second := startBed(t, testbed.Options{Nomad: testbed.NomadOptions{ACL: true}})
	deployHello(t, first, "twin", "1")
	url := deployHello(t, second, "twin", "2")
	closeBed(t, first)
	if got, want := get(t, url), "hello from 2\n"; got != want {
		t.Errorf("after the other bed was closed the app answers %q, want %q", got, want)
	}
	closeBed(t, second)
}

// TestBedSurvivesCrashes kills the daemons in the middle, as a chaos test does.
func TestBedSurvivesCrashes(t *testing.T) {
	t.Parallel()
	bed := startBed(t, testbed.Options{})
	deployHello(t, bed, "crash", "1")
	bed.Nomad.Kill()
	bed.BuildKit.Kill()
	if err := bed.BuildKit.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := bed.Nomad.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	deployHello(t, bed, "crash-again", "2")
	bed.Docker.Kill()
	closeBed(t, bed)
}

// TestNextBedSweepsAfterAKilledOne runs a bed in a process that is killed.
func TestNextBedSweepsAfterAKilledOne(t *testing.T) {
	// Not parallel: it looks at the slot that the killed bed held.
	if dir := os.Getenv("TESTBED_TO_KILL"); dir != "" {
		holdBed(t, dir)
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestNextBedSweepsAfterAKilledOne$")
	// What the child does not clean up lies in our directory.
	child.Env = append(os.Environ(), "TESTBED_TO_KILL="+dir, "TMPDIR="+t.TempDir())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	slot := waitForFile(t, filepath.Join(dir, "slot"))
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if len(marked(t, slot)) == 0 {
		t.Fatal("the killed bed left no process: the test shows nothing")
	}
	if len(shimSockets(t)) == 0 {
		t.Fatal("the killed bed left no socket of a container's shim: the test shows nothing")
	}
	next := startBed(t, testbed.Options{Need: testbed.NeedRegistry})
	if left := shimSockets(t); len(left) > 0 {
		t.Errorf("sockets of the killed bed's containers after the next one's start: %v", left)
	}
	if left := marked(t, slot); len(left) > 0 {
		t.Errorf("processes of the killed bed after the next one's start: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Errorf("data of the killed bed: %v, want it gone", err)
	}
	closeBed(t, next)
}

// holdBed is the child: it starts a bed with a job and waits to be killed.
func holdBed(t *testing.T, dir string) {
	bed := startBed(t, testbed.Options{Dir: dir})
	deployHello(t, bed, "orphan", "1")
	if err := os.WriteFile(filepath.Join(dir, "slot"), []byte(bed.SlotDir()), 0o600); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
	t.Fatal("nobody killed the bed's process")
}

func startBed(t *testing.T, opts testbed.Options) *testbed.Bed {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	opts.Log = t.Output()
	bed, err := testbed.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Errorf("close the bed: %v", err)
		}
	})
	return bed
}

func closeBed(t *testing.T, bed *testbed.Bed) {
	t.Helper()
	if err := bed.Close(); err != nil {
		t.Errorf("close the bed: %v", err)
	}
	if left := bed.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if left := marked(t, bed.SlotDir()); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{bed.Dir + "/", bed.SlotDir() + "/"} {
		if strings.Contains(string(mounts), dir) {
			t.Errorf("mounts below %s are left", dir)
		}
	}
}

// deployHello builds the sample with BuildKit, runs it by digest, and returns
// the URL at which it answers.
func deployHello(t *testing.T, bed *testbed.Bed, job, version string) string {
	t.Helper()
	lap := stopwatch(t)
	base, err := bed.PushBase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lap("base image pushed")
	files, err := testbed.SampleRepository(t.Context(), testbed.Sample{Version: version, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bed.Git.Publish(t.Context(), "acme/"+job, "Version "+version, files); err != nil {
		t.Fatal(err)
	}
	lap("sample repository published")
	image := buildImage(t, bed, clone(t, bed, job), job)
	lap("image built and pushed")
	register(t, bed, job, image)
	url := waitForPort(t, bed, job)
	lap("deployment successful")
	if got, want := get(t, url), "hello from "+version+"\n"; got != want {
		t.Fatalf("GET %s = %q, want %q", url, got, want)
	}
	return url
}

// clone gets the repository as a user with the password does.
func clone(t *testing.T, bed *testbed.Bed, job string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "source")
	login := bed.Git.Login()
	url := strings.Replace(bed.Git.Addr(), "//", "//"+login.Username+":"+login.Password+"@", 1)
	out, err := exec.CommandContext(t.Context(), "git", "clone", "-q", url+"/acme/"+job+".git", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	return dir
}

// buildImage runs buildctl and returns name@digest.
func buildImage(t *testing.T, bed *testbed.Bed, dir, name string) string {
	t.Helper()
	ref := bed.Registry.Addr() + "/test/" + name
	meta := filepath.Join(t.TempDir(), "meta.json")
	cmd := exec.CommandContext(t.Context(), bed.Tools.BuildCtl, "build", "--frontend", "dockerfile.v0",
		"--local", "context="+dir, "--local", "dockerfile="+dir,
		"--output", "type=image,push=true,name="+ref+":latest", "--metadata-file", meta)
	cmd.Env = append(os.Environ(), "BUILDKIT_HOST="+bed.BuildKit.Addr(), "DOCKER_CONFIG="+dockerConfig(t, bed))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("buildctl: %v\n%s", err, out)
	}
	text, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Digest string `json:"containerimage.digest"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Digest == "" {
		t.Fatalf("buildctl's metadata: %v in %s", err, text)
	}
	return ref + "@" + answer.Digest
}

func dockerConfig(t *testing.T, bed *testbed.Bed) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, bed.Registry.Addr(), bed.Login.Username, bed.Login.Password)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const jobJSON = `{"Job": {"ID": %[1]q, "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [{
  "Name": "app", "Networks": [{"DynamicPorts": [{"Label": "http", "To": 8080}]}],
  "Services": [{"Name": %[1]q, "Provider": "nomad", "PortLabel": "http",
    "Checks": [{"Type": "http", "Path": "/healthz", "Interval": 1000000000, "Timeout": 1000000000}]}],
  "Update": {"MinHealthyTime": 100000000, "HealthyDeadline": 20000000000, "HealthCheck": "checks"},
  "Tasks": [{"Name": "app", "Driver": "docker", "Config": {"image": %[2]q, "ports": ["http"]},
    "Resources": {"CPU": 100, "MemoryMB": 64}}]}]}}`

func register(t *testing.T, bed *testbed.Bed, job, image string) {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(jobJSON, job, image))
	if err := bed.Nomad.Call(t.Context(), http.MethodPost, "/v1/jobs", body, nil); err != nil {
		t.Fatal(err)
	}
}

// waitForPort waits until the job's deployment is successful.
func waitForPort(t *testing.T, bed *testbed.Bed, job string) (url string) {
	t.Helper()
	var deployment struct{ Status, StatusDescription string }
	wait(t, 60*time.Second, "the deployment of "+job, func() bool {
		if err := bed.Nomad.Call(t.Context(), http.MethodGet, "/v1/job/"+job+"/deployment", nil, &deployment); err != nil {
			t.Fatal(err)
		}
		if deployment.Status == "failed" {
			t.Fatalf("deployment failed: %s\n%s", deployment.StatusDescription, bed.LogTail("nomad", 20))
		}
		return deployment.Status == "successful"
	})
	var services []struct {
		Address string
		Port    int
	}
	if err := bed.Nomad.Call(t.Context(), http.MethodGet, "/v1/service/"+job, nil, &services); err != nil {
		t.Fatal(err)
	}
	if len(services) != 1 {
		t.Fatalf("%d instances of service %s, want 1", len(services), job)
	}
	return fmt.Sprintf("http://%s:%d/", services[0].Address, services[0].Port)
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stopwatch logs how long each step took.
func stopwatch(t *testing.T) (lap func(what string)) {
	last := time.Now()
	return func(what string) {
		t.Logf("%s after %s", what, time.Since(last).Round(10*time.Millisecond))
		last = time.Now()
	}
}

func waitForFile(t *testing.T, path string) (content string) {
	t.Helper()
	wait(t, 90*time.Second, path, func() bool {
		text, err := os.ReadFile(path)
		content = string(text)
		return err == nil && content != ""
	})
	return content
}

func wait(t *testing.T, most time.Duration, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, most)
		case <-tick.C:
		}
	}
}

// shimSockets lists those that every dockerd on the host shares.
func shimSockets(t *testing.T) []string {
	t.Helper()
	sockets, err := filepath.Glob("/run/containerd/s/*")
	if err != nil {
		t.Fatal(err)
	}
	return sockets
}

// marked lists processes that carry a slot's mark, by a way of its own: the
// package's claim about itself is what is tested.
func marked(t *testing.T, slot string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		env, _ := os.ReadFile(file)
		if slices.Contains(strings.Split(string(env), "\x00"), "DISPATCHD_TESTBED="+slot) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}
