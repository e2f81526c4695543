package desk_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestAKilledWorkersTaskIsNotTakenForOneThatRuns(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	stop := f.work("w1", 1, map[string]step{"a": hang(tasks.StageBuild)})
	f.publishBody(prefix+".dispatch.event.a.retry", `{"task_id":"a","event":"retry","reason":"nomad_unavailable","delay_ms":15000}`, nil) // of an earlier attempt
	f.publish("web", "a")
	f.claimed("a")
	// What a kill -9 leaves once the lease and the sign of life have ended.
	stream, err := f.js.Stream(t.Context(), "KV_staging_dispatch_lease")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.staging_dispatch_lease.worker.w1")); err != nil {
		t.Fatal(err)
	}
	if lost := f.show("a").Run.Lost; lost != 0 {
		t.Errorf("%d attempts are lost while the lease stands, want none yet", lost)
	}
	if why := f.show("a").Why; why.State != desk.StateRunning || !strings.Contains(why.Text, "gives no sign of life") {
		t.Errorf("with the lease: %+v, want that its worker gives no sign of life", why)
	}
	if got := f.queue(desk.QueueQuery{}).Warnings; len(got) != 2 || !strings.Contains(got[1], "worker w1 holds job web for task a and gives no sign of life") {
		t.Errorf("warnings %q", got)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.staging_dispatch_lease.target.>")); err != nil {
		t.Fatal(err)
	}
	view := f.show("a")
	if view.State != desk.StateRetry || view.Cause != desk.CauseWorkerLost || view.Run.WorkerLives || view.Run.Attempts != 1 || view.Run.Lost != 1 {
		t.Errorf("without the lease: %+v %+v, want that its worker is lost", view.Why, view.Run)
	}
	stop()
}

func TestAHolderSaysWhatItsWorkerIsAbout(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.work("w1", 2, map[string]step{"a": hang(tasks.StageBuild), "quiet": hang("")})
	f.publish("web", "a")
	f.publish("api", "quiet")
	f.claimed("quiet")
	f.eventually("a is in its stage", func() bool { return f.show("a").Stage == tasks.StageBuild })
	f.publish("web", "b")
	now := f.after(-time.Minute) // however slow we are
	now.says("a", desk.Why{State: desk.StateRunning, Text: "runs on worker w1, stage build"})
	now.says("quiet", desk.Why{State: desk.StateRunning, Text: "runs on worker w1; no stage has begun"})
	for _, id := range []string{"a", "b"} {
		if got := f.after(20 * time.Second).show(id).Text; !strings.Contains(got, "runs on worker w1, stage build; its last sign of life is ") {
			t.Errorf("%s some time after a sign of life: %q, want how old that is", id, got)
		}
	}
	if err := f.js.DeleteStream(t.Context(), "DEPLOYMENTS"); err != nil {
		t.Fatal(err)
	}
	text := "runs on worker w1, stage build; no stream covers staging.deployment.status.changed, staging.deployment.succeeded, staging.deployment.failed: nothing can be told of it"
	now.says("a", desk.Why{State: desk.StateRunning, Cause: desk.CauseNoStream, Text: text})
	now.says("b", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task a of the same job, which " + text})
}

func TestALeaseOutlivesItsTask(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.sign("w1", 2, 0)
	// Acknowledged, and killed before the lease was given up.
	f.lease("web", `{"task_id":"a","worker":"w9","sequence":1}`)
	f.publishBody(events.NewSubjects(prefix, "").Done("a"), `{"task_id":"a","task":"deploy-image","status":"succeeded"}`, nil)
	f.publish("web", "b")
	// A run-once was killed, and a worker is ending its run.
	f.lease("api", `{"task_id":"c","worker":"w1","sweeper":true}`)
	f.key(f.topology.Runs(), "c", `{"worker":"w9","claims":1,"attempts":1,"targets":["api"]}`)
	f.publish("api", "d")
	later := f.after(time.Minute)
	later.says("b", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task a of the same job, which has ended: succeeded"})
	later.says("d", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task c of the same job, which is being ended by worker w1: its worker was lost"})
	if got := f.show("a"); got.State != desk.StateEnded || got.Text != "has ended: succeeded" {
		t.Errorf("a: %+v", got.Why)
	}
	if got := f.show("c"); got.State != desk.StateEnding || got.Text != "is being ended by worker w1: its worker was lost" {
		t.Errorf("c: %+v", got.Why)
	}
}

func TestLostAttemptsAreCountedWhileTheTaskWaits(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.sign("w1", 1, 0)
	for id, counts := range map[string]struct {
		record string
		lost   int
	}{
		"died-twice":         {`"attempts":2`, 2},
		"handed-back":        {`"attempts":1,"handed_back":1`, 0},
		"died-and-back":      {`"attempts":2,"handed_back":1`, 1},
		"given-back-at-once": {`"attempts":0`, 0},
	} {
		f.key(f.topology.Runs(), id, fmt.Sprintf(`{"worker":"w9","claims":3,%s}`, counts.record))
		f.publish(id, id)
		if got := f.show(id); got.State != desk.StateRetry || got.Run.Lost != counts.lost {
			t.Errorf("%s: %s, %d lost, want %d", id, got.State, got.Run.Lost, counts.lost)
		}
		f.lease(id, fmt.Sprintf(`{"task_id":%q,"worker":"w1","sequence":1}`, id))
		if got := f.show(id); got.State != desk.StateRunning || got.Run.Lost != max(counts.lost-1, 0) {
			t.Errorf("%s while it runs: %s, %d lost, want %d", id, got.State, got.Run.Lost, max(counts.lost-1, 0))
		}
	}
}

func TestAnEndThatCouldNotBeToldYetIsNotSaidToBeOver(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	gate := make(chan struct{})
	f.work("w1", 1, map[string]step{"a": func(_ context.Context, _ tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
		rep.Stage(tasks.StageBuild)
		<-gate
		return tasks.Result{}, nil
	}})
	f.publish("web", "a")
	f.eventually("a is in its stage", func() bool { return f.show("a").Stage == tasks.StageBuild })
	f.publish("web", "b")
	backend := jetstream.StreamConfig{Name: "DEPLOYMENTS", Subjects: []string{prefix + ".deployment.>", prefix + ".job.destroyed"}}
	full := backend
	full.MaxMsgs, full.Discard = 1, jetstream.DiscardNew // IN_PROGRESS is out
	if _, err := f.js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	close(gate)
	f.eventually("its end is recorded", func() bool { o := f.show("a").Outcome; return o != nil && o.At != nil })

	later := f.after(6 * time.Second)
	text := "has ended: succeeded; that is recorded, and not told yet by worker w1"
	later.says("a", desk.Why{State: desk.StateEnding, Text: text})
	later.says("b", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task a of the same job, which " + text})
	f.after(-time.Minute).says("a", desk.Why{State: desk.StateEnded, Text: "has ended: succeeded"})
	if got, err := later.desk.Cancel(t.Context(), "a", ""); err != nil || got.Asked {
		t.Errorf("cancel: %+v, %v, want that it is left alone", got, err)
	}
	if _, err := f.js.UpdateStream(t.Context(), backend); err != nil {
		t.Fatal(err)
	}
	later.until("a", desk.StateEnded)
	later.until("b", desk.StateEnded)
}
