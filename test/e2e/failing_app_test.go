//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

func TestFailingRunIsABuildFailureWithItsLastLines(t *testing.T) {
	t.Parallel()
	source := newSource(t, running(t, "1", "echo compiling; echo the disk of dreams is missing >&2; exit 3"))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	s := w.send(repository(t, "failing-run", "acme/app"))
	r := w.failed(s, patience, "build_failed", "build")
	wantAll(t, "the failure", r.Message, "RUN echo compiling", "exit code 3", "the disk of dreams is missing")
	wantAll(t, "the log", w.logText(s), "build: ", "compiling", "the disk of dreams is missing", "failed (build_failed)")
	_, ends := w.log(s)
	wantAll(t, "the end of the log", ends[0].body, `"status":"failed"`)
}

func TestCrashLoopNamesTheExitCodeAndShowsTheLastLines(t *testing.T) {
	t.Parallel()
	source := newSource(t, sample(t, testbed.Sample{Version: "1", Crash: "no database today"}))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	s := w.send(repository(t, "crashing", "acme/app").with(params{"restartMode": "fail", "restartAttempts": 2}))
	r := w.failed(s, patience, "app_crashed", "watch")
	wantAll(t, "the failure", r.Message, "exit code 1", "2 restarts")
	wantAll(t, "the log", w.logText(s), "release: ", "hello 1 starts on port 8080", "hello: no database today")
}

func TestFailingHealthCheckNamesTheCheckAndShowsTheLastLines(t *testing.T) {
	t.Parallel()
	source := newSource(t, sample(t, testbed.Sample{Version: "1", Unhealthy: true}))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	k := repository(t, "unhealthy", "acme/app")
	k = k.with(params{"update": params{"minHealthyTime": "1s", "healthyDeadline": "6s", "progressDeadline": "8s", "autoRevert": false}})
	s := w.send(k)
	r := w.failed(s, patience, "unhealthy", "watch")
	wantAll(t, "the failure", r.Message, "health check", "status 500")
	wantAll(t, "the log", w.logText(s), "hello 1 starts on port 8080")
}

// TestUnhealthyUpdateRollsBack: what ran before runs on.
func TestUnhealthyUpdateRollsBack(t *testing.T) {
	t.Parallel()
	source := newSource(t, sample(t, testbed.Sample{Version: "good"}))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	k := repository(t, "rolled-back", "acme/app").with(params{
		"update": params{"minHealthyTime": "1s", "healthyDeadline": "6s", "progressDeadline": "8s", "autoRevert": true},
	})
	w.succeeded(w.send(k), patience)
	source.commit("acme/app", sample(t, testbed.Sample{Version: "bad", Crash: "not today"}))
	r := w.failed(w.send(k.again()), patience, "rolled_back", "watch")
	wantAll(t, "the failure", r.Message, "exit code 1", "version 0")
	eventually(t, 20*time.Second, "the old version runs alone", func() bool {
		return len(allocations(t, k.job())) == 1 && answer(t, k.job()) == "hello from good\n"
	})
}

func TestNoRoomNamesTheDimensionWithin15Seconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	k := image(t, "too-large", pushHello(t, "too-large", "1"), "1").with(params{"ram": 100_000})
	s := w.send(k)
	r := w.failed(s, patience, "placement_failed", "watch")
	wantAll(t, "the failure", r.Message, "memory", "100000 MiB")
	if took := duration(t, w, s); took > 15*time.Second {
		t.Errorf("the failure came after %s, want 15s at most", took)
	}
}

// duration is the time between a task's IN_PROGRESS and its outcome, by the
// server's clock.
func duration(t *testing.T, w *world, s *sent) time.Duration {
	t.Helper()
	events := w.said(s)
	if len(events) != 2 {
		t.Fatalf("task %s has %d events, want 2", s.id, len(events))
	}
	return events[1].at.Sub(events[0].at)
}

// wantAll checks that a text holds each of the parts.
func wantAll(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not hold %q:\n%s", what, part, text)
		}
	}
}
