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

func TestADeploymentThatHasEndedTakesNobodysPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.terminal["b"] = worker.Settlement{TaskID: "b", Status: worker.StatusSucceeded}
		run(t, w, succeed, func(o *worker.Options) { o.Supersede = func(string) bool { return true } },
			&fakeDelivery{task: deployTask("a"), newer: "b"})
		if got := w.terminal["a"]; !got.Succeeded() {
			t.Errorf("a ended as %s (%s), want success: b had ended and was only published again", got.Status, got.Reason)
		}
	})
}
