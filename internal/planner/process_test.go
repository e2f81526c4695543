package planner_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// until polls a condition that nothing announces.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("%s did not come within 10 s", what)
		}
	}
}

// pid reads the number that a stand-in wrote down; 0 until it has.
func (w *world) pid(name string) int {
	text, _ := os.ReadFile(filepath.Join(w.calls, name))
	number, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return number
}

// gone reports whether a process has ended; one that nobody has reaped has.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestCancelEndsEveryProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	program := w.program("nixpacks 1.39.0", `trap '' TERM
sleep 1000 &
echo $! >"$CALLS/child"
echo $$ >"$CALLS/parent"
wait; wait; sleep 1000`)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		req := tasks.BuildRequest{Builder: tasks.BuilderNixpacks, Dir: w.source}
		_, err := planner.New(planner.Options{Nixpacks: program}).Plan(ctx, req, w.dir, w.log)
		done <- err
	}()
	until(t, "the program", func() bool { return w.pid("parent") > 0 })
	began := time.Now()
	cancel(tasks.ErrTimeout)
	if err := <-done; !errors.Is(err, tasks.ErrTimeout) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s to end", took)
	}
	for _, name := range []string{"parent", "child"} {
		if pid := w.pid(name); !gone(pid) {
			t.Errorf("the %s, process %d, still runs", name, pid)
		}
	}
}

func TestWhatAProgramLeavesBehindIsEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	began := time.Now()
	_, err := w.plan(w.program("nixpacks 1.39.0", `[ "$1" = build ] && { sleep 1000 & echo $! >"$CALLS/child"; }`+"\n"+nixpacksScript), nil)
	if err != nil {
		t.Fatal(err)
	}
	if pid := w.pid("child"); pid == 0 || !gone(pid) || time.Since(began) > 5*time.Second {
		t.Errorf("process %d still runs, or was waited for (%s)", pid, time.Since(began))
	}
}
