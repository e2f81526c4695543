package worker_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// What a step adds to the attempt's redactor is hidden in the worker's log, and
// not in that of other tasks.
func TestAStepCanHideMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, log := observer.New(zap.DebugLevel)
		w := newWorld()
		h := handler(func(_ context.Context, task tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			if task.ID == "a" {
				at.Redactor.Add("late-secret")
			}
			panic("it said late-secret")
		})
		run(t, w, h, func(o *worker.Options) { o.Log, o.Slots, o.MaxAttempts = zap.New(core), 1, 1 },
			&fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("b")})
		hidden := map[string]bool{}
		for _, entry := range log.FilterMessage("panic in a step").All() {
			fields := entry.ContextMap()
			text, _ := fields["panic"].(string)
			id, _ := fields["task_id"].(string)
			hidden[id] = !strings.Contains(text, "late-secret")
		}
		if len(hidden) != 2 || !hidden["a"] || hidden["b"] {
			t.Errorf("hidden: %v, want that of a alone", hidden)
		}
	})
}
