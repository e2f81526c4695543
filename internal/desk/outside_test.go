package desk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const onceID = "dispatch-1700000000-0a1b2c3d"

func TestARunOnceThatWaitsForItsTurnIsShown(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 1, map[string]step{"front": hang(tasks.StageBuild)})
	f.publish("web", "front")
	f.claimed("front")
	f.once("once", onceID, nil)
	got := f.until(onceID, desk.StateBlocked)
	if got.Cause != desk.CauseBehind || got.Behind != "front" || got.Worker != "w1" || got.Since == nil || got.Run != nil || !got.Known() {
		t.Errorf("%+v, want it behind the front", got)
	}
	if !strings.HasPrefix(got.Text, "a run-once (worker once) waits for its turn: behind task front of the same job, which runs on worker w1") {
		t.Errorf("text %q", got.Text)
	}
}

func TestARunOnceThatHasNotBegunIsKnownByItsSign(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.key(f.topology.Leases(), queue.OnceKey("a"), `{"id":"again","once":true,"task_id":"a"}`)
	if got := f.show("a"); got.State != desk.StateRunnable || got.Text != "a run-once (worker again) is about to begin it" || got.Worker != "again" {
		t.Errorf("before any event: %+v", got.Why)
	}
	f.publishBody(f.events("a", "waiting"), `{"task_id":"a","event":"waiting","behind":"gone"}`, nil)
	if got := f.show("a").Why; got.State != desk.StateBlocked || got.Behind != "gone" || !strings.HasSuffix(got.Text, "it was behind task gone of the same job when it last said so") {
		t.Errorf("behind a task that nobody holds: %+v", got)
	}
	f.publishBody(f.events("a", "requeued"), `{"task_id":"a","event":"requeued","requeued_from":"old"}`, nil)
	if got := f.show("a").Why; got.State != desk.StateRunnable || got.Behind != "" {
		t.Errorf("after another event: %+v, want that it is about to begin", got)
	}
}

func TestBetweenTwoAttemptsARunOnceSaysWhenTheNextBegins(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.once("once", onceID, failing(tasks.ReasonNomadDown, "no leader"))
	var got desk.TaskView
	f.eventually("it is said why", func() bool { got = f.show(onceID); return got.Until != nil })
	if got.State != desk.StateRetry || got.Cause != desk.CauseHandedBack || got.Reason != tasks.ReasonNomadDown || got.Worker != "once" {
		t.Errorf("%+v", got.Why)
	}
	if !strings.HasPrefix(got.Text, "is with worker once, between two attempts: the last was handed back until ") || !strings.Contains(got.Text, "no leader") {
		t.Errorf("text %q", got.Text)
	}
	if in := got.Until.Sub(got.At); in > 20*time.Second {
		t.Errorf("the next begins in %s, want about 15 s", in)
	}
}
