package worker_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestASecondTaskWithTheSameIDIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.claims = worker.ErrOtherTask
		got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, "release a", "discard invalid_task")
	})
}

func TestATaskWithTheIDOfAnotherThatHasEndedIsADeadLetter(t *testing.T) {
	own := (&fakeDelivery{task: deployTask("a")}).Message().Subject
	for subject, verb := range map[string]string{
		own: "ack a", "": "ack a", "dispatch.task.deploy-image.api.a": "discard invalid_task",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.terminal["a"] = worker.Settlement{TaskID: "a", Status: worker.StatusSucceeded, Queue: subject}
			got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
			if !slices.Contains(got, verb) || slices.Contains(got, "IN_PROGRESS a") {
				t.Errorf("where the message %q has ended: %q, want %q and no more", subject, got, verb)
			}
		})
	}
}

func TestADeploymentThatIsNotCarriedOutTakesNobodysPlace(t *testing.T) {
	for why, end := range map[string]func(*world){
		"it had ended and was only published again": func(w *world) {
			w.terminal["b"] = worker.Settlement{TaskID: "b", Status: worker.StatusSucceeded}
		},
		"it is cancelled": func(w *world) { w.cancelled["b"] = true },
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				end(w)
				run(t, w, succeed, func(o *worker.Options) { o.Supersede = func(string) bool { return true } },
					&fakeDelivery{task: deployTask("a"), newer: "b"})
				if got := w.terminal["a"]; !got.Succeeded() {
					t.Errorf("a ended as %s (%s), want success", got.Status, got.Reason)
				}
			})
		})
	}
}
