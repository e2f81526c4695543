//go:build e2e

package e2e_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

const (
	limit    = "3s"
	limitFor = 3 * time.Second
	// overrun is how much later than its limit a task may end.
	overrun = 5 * time.Second
)

// wantTimeout checks that the limit ended the task in time and says where.
func wantTimeout(t *testing.T, w *world, s *sent, stage string) {
	t.Helper()
	r := w.failed(s, patience, "timeout", stage)
	if r.Class != "timeout" {
		t.Errorf("the class is %q, want timeout", r.Class)
	}
	wantAll(t, "the failure", r.Message, limit, "stage "+stage)
	// The limit counts from the claim, which comes a moment before the first event.
	if took := duration(t, w, s); took < limitFor-time.Second || took > limitFor+overrun {
		t.Errorf("the task ended after %s, want %s to %s", took, limitFor, limitFor+overrun)
	}
}

// TestLimitEndsEachStage is not parallel: within three seconds each task must
// reach its stage, so no other test may have the machine at the same time.
func TestLimitEndsEachStage(t *testing.T) {
	for stage, test := range map[string]func(*testing.T){
		"clone": limitEndsAClone, "build": limitEndsABuild, "push": limitEndsAPush, "watch": limitEndsTheWaitForHealth,
	} {
		t.Run(stage, test)
	}
}

// limitEndsAClone: the provider sends a part of the pack and then nothing.
func limitEndsAClone(t *testing.T) {
	t.Parallel()
	source := newSource(t, running(t, "1", "true"))
	stalled := httptest.NewServer(gittest.StallAfter(source, 4096))
	t.Cleanup(stalled.Close)
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_GITHUB_URL=" + stalled.URL, "DISPATCHD_TASK_TIMEOUT=" + limit}})
	worker := w.start()
	s := w.send(repository(t, "stalled-clone", "acme/app"))
	wantTimeout(t, w, s, "clone")
	if left := childrenOf(t, worker.cmd.Process.Pid); len(left) > 0 {
		t.Errorf("children of the worker outlive the clone: %q", left)
	}
}

func limitEndsABuild(t *testing.T) {
	t.Parallel()
	source := newSource(t, map[string]string{"Dockerfile": "FROM " + shared.base + "\nRUN sleep 71\n"})
	w := newWorld(t, worldOptions{env: []string{github(source), "DISPATCHD_TASK_TIMEOUT=" + limit}})
	w.start()
	s := w.send(repository(t, "slow-build", "acme/app"))
	wantTimeout(t, w, s, "build")
	eventually(t, 5*time.Second, "the RUN step is ended", func() bool { return len(commands("sleep 71 ")) == 0 })
}

// commands lists the running commands that begin with a text.
func commands(begin string) []string {
	var found []string
	for _, command := range commandLines() {
		if strings.HasPrefix(command, begin) {
			found = append(found, command)
		}
	}
	return found
}

func limitEndsAPush(t *testing.T) {
	t.Parallel()
	source := newSource(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	registry := before(t, "http://"+shared.bed.Registry.Addr())
	registry.set(hangsWrites)
	w := newWorld(t, worldOptions{env: []string{
		github(source), "DISPATCHD_REGISTRY=" + registry.address + "/limit", "DISPATCHD_TASK_TIMEOUT=" + limit,
	}})
	w.start()
	wantTimeout(t, w, w.send(repository(t, "stalled-push", "acme/app")), "push")
}

func limitEndsTheWaitForHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_TASK_TIMEOUT=" + limit}})
	w.start()
	k := image(t, "never-healthy", pushHello(t, "never-healthy", "1", "HELLO_UNHEALTHY=1"), "1")
	k = k.with(params{"update": params{"minHealthyTime": "1s", "healthyDeadline": "5m", "progressDeadline": "10m", "autoRevert": false}})
	wantTimeout(t, w, w.send(k), "watch")
}

// childrenOf lists the commands of a process's children.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		text, _ := os.ReadFile(file)
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		if len(fields) > 1 && fields[1] == itoa(pid) && fields[0] != "Z" {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}
