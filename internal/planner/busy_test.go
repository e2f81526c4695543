package planner_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// A machine that is too busy to answer in time is no reason to give up for good.
func TestAProgramThatIsSlowToSayItsVersionIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := planner.New(planner.Options{Nixpacks: program, VersionTimeout: 200 * time.Millisecond})
	_, err := p.Plan(t.Context(), tasks.BuildRequest{Builder: tasks.BuilderNixpacks, Dir: w.source, Context: "."}, w.dir, w.log)
	if failure := tasks.AsFailure(err); failure == nil || failure.Reason != tasks.ReasonBuilderDown {
		t.Errorf("error = %v, want %s", err, tasks.ReasonBuilderDown)
	}
}
