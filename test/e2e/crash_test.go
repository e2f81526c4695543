//go:build e2e

package e2e_test

import (
	"path/filepath"
	"testing"
	"time"
)

// slowBuild is a RUN step that a test can find in its middle. It does not come
// from the cache: each world has a text of its own.
func slowBuild(w *world, seconds string) string {
	return "echo in the middle of " + w.prefix + "; sleep " + seconds + "; echo done sleeping"
}

const inTheMiddle = "in the middle of"

// slowWorld has a repository whose build takes a while.
func slowWorld(t *testing.T, seconds string, opts worldOptions) (*world, task) {
	t.Helper()
	source := newProvider(t)
	opts.env = append(opts.env, github(source))
	w := newWorld(t, opts)
	source.private("acme/app", gitToken, running(t, "1", slowBuild(w, seconds)))
	return w, repository(t, "slow", "acme/app")
}

// buildRuns waits until the RUN step prints: its command is in the log before.
func buildRuns(w *world, s *sent) {
	w.t.Helper()
	w.sees(s, inTheMiddle+" "+w.prefix+"\n", patience)
}

// TestWorkerKilledInTheMiddleOfABuild: another worker finishes the task when
// the ack wait has ended, and removes what the dead one left.
func TestWorkerKilledInTheMiddleOfABuild(t *testing.T) {
	t.Parallel()
	w, k := slowWorld(t, "6", worldOptions{})
	victim := w.start()
	s := w.send(k)
	buildRuns(w, s)
	left := taskDirs(t, w)
	victim.kill()
	if len(left) != 1 {
		t.Fatalf("the victim had the directories %v, want one", left)
	}

	w.start()
	if still := taskDirs(t, w); len(still) > 0 {
		t.Errorf("after the second worker's start there still is %v", still)
	}
	r := w.succeeded(s, patience)
	if r.Attempt != 2 {
		t.Errorf("attempt %d finished the task, want 2", r.Attempt)
	}
	if got, want := answer(t, k.job()), "hello from 1\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
}

// taskDirs are the directories of running or left tasks.
func taskDirs(t *testing.T, w *world) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(w.workDir, "*", "t-*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestDrainLetsARunningTaskFinish: SIGTERM stops the intake at once, the
// running task goes on, and the exit code is 0.
func TestDrainLetsARunningTaskFinish(t *testing.T) {
	t.Parallel()
	w, k := slowWorld(t, "4", worldOptions{env: []string{"DISPATCHD_DRAIN_TIMEOUT=60s"}})
	worker := w.start()
	s := w.send(k)
	buildRuns(w, s)
	worker.terminate()
	eventually(t, 5*time.Second, "the worker drains", func() bool { return len(worker.logged("draining")) == 1 })
	later := w.send(image(t, "later", pushHello(t, "later", "1"), "1").with(params{"deploy": "noop"}))
	if code := worker.exit(60 * time.Second); code != 0 {
		t.Errorf("the drained worker ended with %d, want 0", code)
	}
	if r := w.succeeded(s, time.Second); r.Attempt != 1 {
		t.Errorf("the task was finished in attempt %d, want 1", r.Attempt)
	}
	if _, ended := w.record(later.id); ended || w.isOpen(later.id) {
		t.Error("the draining worker took another task")
	}
	w.start()
	w.succeeded(later, patience)
}

// TestShortDrainHandsTheTaskBack: another worker has it at once, and the
// attempt does not count.
func TestShortDrainHandsTheTaskBack(t *testing.T) {
	t.Parallel()
	w, k := slowWorld(t, "8", worldOptions{env: []string{"DISPATCHD_DRAIN_TIMEOUT=1s"}})
	worker := w.start()
	s := w.send(k)
	buildRuns(w, s)
	worker.terminate()
	if code := worker.exit(10 * time.Second); code != 0 {
		t.Errorf("the worker that handed its task back ended with %d, want 0", code)
	}
	if _, ended := w.record(s.id); ended {
		t.Fatal("the task has ended with its first worker")
	}
	next := w.start()
	eventually(t, 5*time.Second, "the next worker has the task", func() bool { return len(next.logged("task started")) == 1 })
	if r := w.succeeded(s, patience); r.Attempt != 1 {
		t.Errorf("the record counts attempt %d, want 1: a shutdown gives its attempt back", r.Attempt)
	}
}
