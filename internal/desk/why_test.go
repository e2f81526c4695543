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
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// after is the desk as it will look once some time has passed in which nothing
// happens on the server.
func (f *floor) after(d time.Duration) *floor {
	later := *f
	later.desk = desk.New(f.nc, f.js, desk.Options{
		Topology: f.topology, Subjects: events.NewSubjects(prefix, ""), Now: func() time.Time { return time.Now().Add(d) },
	})
	return &later
}

// key writes into one of our buckets what a worker would.
func (f *floor) key(bucket, key, body string) {
	f.t.Helper()
	f.publishBody(queue.KeySubject(bucket, key), body, nil)
}

// sign is the sign of life of a worker that does nothing.
func (f *floor) sign(id string, slots, busy int) {
	f.t.Helper()
	f.key(f.topology.Leases(), queue.WorkerKey(id), fmt.Sprintf(`{"id":%q,"slots":%d,"busy":%d}`, id, slots, busy))
}

// lost is a task of the queue that a worker has begun, and has no more.
func (f *floor) lost(id, by string) {
	f.t.Helper()
	subject := f.topology.TaskSubject("deploy-image", id, id)
	f.key(f.topology.Runs(), id, fmt.Sprintf(`{"worker":%q,"claims":1,"attempts":1,"targets":[%q],"queue":%q}`, by, id, subject))
	f.publish(id, id)
}

// says fails where a task is not shown so, alone and in the queue's list.
func (f *floor) says(id string, want desk.Why) {
	f.t.Helper()
	for where, got := range map[string]desk.Why{"show": f.show(id).Why, "queue": f.row(id).Why} {
		if got.State != want.State || got.Cause != want.Cause || got.Text != want.Text {
			f.t.Errorf("%s %s: %s, %s, %q;\nwant %s, %s, %q", where, id, got.State, got.Cause, got.Text, want.State, want.Cause, want.Text)
		}
	}
}

// row is the task's in the list of its job.
func (f *floor) row(id string) desk.Row {
	f.t.Helper()
	for _, row := range f.queue(desk.QueueQuery{Job: f.show(id).Job}).Tasks {
		if row.TaskID == id {
			return row
		}
	}
	f.t.Fatalf("the queue does not list %s", id)
	return desk.Row{}
}

// gated is a step that is in a stage until the channel is closed.
func gated(gate <-chan struct{}, stage tasks.Stage) step {
	return func(_ context.Context, _ tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
		if stage != "" {
			rep.Stage(stage)
		}
		<-gate
		return tasks.Result{}, nil
	}
}

func TestAnEndThatCouldNotBeToldYetIsNotSaidToBeOver(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	gate := make(chan struct{})
	f.work("w1", 1, map[string]step{"a": gated(gate, tasks.StageBuild)})
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

func TestAHolderSaysWhatItsWorkerIsAbout(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	gate := make(chan struct{})
	defer close(gate)
	f.work("w1", 2, map[string]step{"a": gated(gate, tasks.StageBuild), "quiet": gated(gate, "")})
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

func TestNoTimeIsPromisedWhereNoSlotIsFree(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.publish("late", "late")
	f.handOut(time.Hour)
	f.sign("w1", 2, 2)
	f.lost("gone", "w9")
	f.publish("gone", "next")
	f.lost("mine", "w1")
	f.lost("back", "w1")
	f.publishBody(f.events("back", "retry"), `{"task_id":"back","event":"retry","reason":"nomad_unavailable","delay_ms":60000}`, nil)
	f.publish("free", "free")
	f.publish("free", "behind")

	const full = "; no slot is free: all 2 are busy"
	lost := "was with worker w9, which has died or lost it; it is delivered again within a minute" + full
	f.says("gone", desk.Why{State: desk.StateRetry, Cause: desk.CauseWorkerLost, Text: lost})
	f.says("next", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task gone of the same job, which waits too: it " + lost})
	f.says("mine", desk.Why{State: desk.StateRetry, Cause: desk.CauseHandedBack, Text: "was handed back by worker w1, which lives: its log says why" + full})
	f.says("late", desk.Why{State: desk.StateRunnable, Cause: desk.CauseRedelivery, Text: "it was handed back while it was not its turn, and is delivered again within a minute or so" + full})
	f.says("free", desk.Why{State: desk.StateRunnable, Cause: desk.CauseNoFreeSlot, Text: "no free slot: all 2 are busy"})
	f.says("behind", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task free of the same job, which waits too: no free slot: all 2 are busy"})
	if got := f.show("back").Text; !strings.HasSuffix(got, "because of nomad_unavailable") {
		t.Errorf("before its time: %q, want only when it comes", got)
	}
	if got := f.after(2 * time.Minute).show("back"); got.Cause != desk.CauseHandedBack || !strings.HasSuffix(got.Text, "because of nomad_unavailable"+full) {
		t.Errorf("after its time: %q, want that no slot is free", got.Text)
	}
	f.sign("w1", 2, 1)
	f.says("free", desk.Why{State: desk.StateRunnable, Cause: desk.CauseDelivering, Text: "is being delivered: 1 of 2 slots are free"})
	f.says("behind", desk.Why{State: desk.StateBlocked, Cause: desk.CauseBehind, Text: "behind task free of the same job, which waits too: it is being delivered: 1 of 2 slots are free"})
}

func TestAWorkerThatHasBegunSinceIsNotTheOneThatHadTheTask(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.lost("a", "w1")
	f.key(f.topology.Leases(), queue.WorkerKey("w1"), fmt.Sprintf(`{"id":"w1","slots":2,"started":%q}`, time.Now().Add(time.Second).Format(time.RFC3339Nano)))
	f.says("a", desk.Why{State: desk.StateRetry, Cause: desk.CauseWorkerLost, Text: "was with worker w1, which has died or lost it; it is delivered again within a minute"})
}

// handOut takes the queue's next message as a worker would, and hands it back.
func (f *floor) handOut(again time.Duration) {
	f.t.Helper()
	consumer, err := f.js.Consumer(f.t.Context(), f.topology.Tasks(), f.topology.Consumer())
	if err != nil {
		f.t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := msg.NakWithDelay(again); err != nil {
		f.t.Fatal(err)
	}
}

// events is where a run event of a task goes.
func (f *floor) events(id, kind string) string { return events.NewSubjects(prefix, "").Event(id, kind) }

func TestAStoppedConsumerIsNamedAsTheCause(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.publish("web", "a")
	f.publish("web", "b")
	f.lost("gone", "w9")
	f.lost("back", "w1")
	f.publishBody(f.events("back", "retry"), `{"task_id":"back","event":"retry","reason":"nomad_unavailable","delay_ms":60000}`, nil)
	f.sign("w1", 2, 0)
	tests := []struct {
		stop  func(jetstream.ConsumerConfig) error
		cause desk.Cause
		text  string
	}{
		{func(jetstream.ConsumerConfig) error { return nil }, desk.CauseDelivering, ""},
		{func(jetstream.ConsumerConfig) error {
			_, err := f.js.PauseConsumer(t.Context(), f.topology.Tasks(), "dispatchd", time.Now().Add(time.Hour))
			return err
		}, desk.CausePaused, ": `nats consumer resume staging_DISPATCH_TASKS dispatchd`"},
		{func(jetstream.ConsumerConfig) error {
			return f.js.DeleteConsumer(t.Context(), f.topology.Tasks(), "dispatchd")
		}, desk.CauseNoConsumer, "the queue's consumer is not there: a worker that may make it"},
		{func(c jetstream.ConsumerConfig) error {
			c.FilterSubjects = []string{f.topology.TaskSubject("*", "api", "*"), prefix + ".dispatch.task.destroy-job-pack.>"}
			_, err := f.js.CreateConsumer(t.Context(), f.topology.Tasks(), c)
			return err
		}, desk.CauseFiltered, "the consumer has a filter, so some tasks are never delivered: delete it (`nats consumer rm staging_DISPATCH_TASKS dispatchd`)"},
	}
	consumer, err := f.js.Consumer(t.Context(), f.topology.Tasks(), "dispatchd")
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	for _, test := range tests {
		if err := test.stop(config); err != nil {
			t.Fatal(err)
		}
		for where, got := range map[string]desk.Why{"show": f.show("a").Why, "queue": f.row("a").Why} {
			if got.State != desk.StateRunnable || got.Cause != test.cause || !strings.Contains(got.Text, test.text) {
				t.Errorf("%s a: %+v, want %s because %q", where, got, test.cause, test.text)
			}
		}
		for id, cause := range map[string]desk.Cause{"b": desk.CauseBehind, "gone": desk.CauseWorkerLost, "back": desk.CauseHandedBack} {
			got := f.show(id)
			if got.Cause != cause || !strings.Contains(got.Text, test.text) || test.text != "" && strings.Contains(got.Text, "within a minute") {
				t.Errorf("%s: %+v, want %s and that %q", id, got.Why, cause, test.text)
			}
		}
		warned := strings.Join(f.queue(desk.QueueQuery{}).Warnings, "; ")
		if (warned == "") != (test.text == "") || !strings.Contains(warned, test.text) {
			t.Errorf("warnings %q, want %q", warned, test.text)
		}
	}
	f.publish("api", "passes")
	f.says("passes", desk.Why{State: desk.StateRunnable, Cause: desk.CauseDelivering, Text: "is being delivered: 2 of 2 slots are free"})
}
