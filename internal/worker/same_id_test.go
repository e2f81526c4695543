package worker_test

import (
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
