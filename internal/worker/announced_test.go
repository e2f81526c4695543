package worker_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestTheRecordHearsOfInProgressWithWhatItIsToldNext(t *testing.T) {
	tests := map[string]struct {
		lanes bool
		want  []string
	}{
		"where it may be said again":    {true, []string{"IN_PROGRESS a", "save a"}},
		"and at once where it must not": {false, []string{"IN_PROGRESS a", "save a", "save a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.lanes = test.lanes
				h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
					if got := w.announced("a"); got == test.lanes {
						t.Errorf("while the steps run the record says announced: %v", got)
					}
					err := at.Keep(ctx, tasks.Checkpoint{})
					if !w.announced("a") {
						t.Error("what was reached is kept, and not that IN_PROGRESS is out")
					}
					return tasks.Result{}, err
				}
				got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
				want(t, got, append(test.want, "flush", "record outcome a",
					"terminal a", "announce a succeeded", "end log a", "ack a", "delete run a", "release a")...)
			})
		})
	}
}

func TestASuccessorSaysInProgressAgainUnlessTheRecordHasHeardOfIt(t *testing.T) {
	for announced, says := range map[bool]string{false: "IN_PROGRESS a", true: "flush"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.lanes = true
			w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Announced: announced}
			got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
			if len(got) == 0 || got[0] != says {
				t.Errorf("announced before: %v; the successor began with %q, want %q", announced, got, says)
			}
		})
	}
}

func TestATaskThatIsHandedBackIsNotedAsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.lanes = true
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			return tasks.Result{}, tasks.Fail(tasks.ReasonRegistryDown, "down", nil)
		}
		run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		if !w.announced("a") {
			t.Error("the record does not say that IN_PROGRESS is out")
		}
	})
}

// announced is what the stored record says.
func (w *world) announced(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	run := w.runs[id]
	return run != nil && run.Announced
}
