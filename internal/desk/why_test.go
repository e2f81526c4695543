package desk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

// lease is a worker's on a job, for a task.
func (f *floor) lease(job, grant string) {
	f.t.Helper()
	f.key(f.topology.Leases(), queue.TargetKey(job), grant)
}

func TestATaskWhoseIDIsAnothersSaysSo(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 2, map[string]step{"same": hang(tasks.StageBuild)})
	f.publish("web", "same")
	f.claimed("same")
	f.publish("api", "same")
	f.eventually("the row of the other message says so", func() bool {
		rows := f.queue(desk.QueueQuery{Job: "api"}).Tasks
		want := "another task with the same id has begun (job web): this one waits, and becomes a dead letter or a duplicate"
		return len(rows) == 1 && rows[0].Why.State == desk.StateBlocked && rows[0].Why.Behind == "same" && rows[0].Why.Text == want
	})
	if got := f.show("same"); got.State != desk.StateRunning || got.Job != "web" {
		t.Errorf("%+v, want the one that runs", got.Why)
	}
}

func TestATaskThatCannotBeginSaysWhatRefusesIt(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	full := func(bytes int64) {
		stream, err := f.js.Stream(t.Context(), "KV_staging_dispatch_run")
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxBytes = bytes
		if _, err := f.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	full(1)
	f.work("w1", 1, nil)
	f.publish("web", "a")
	f.publish("web", "b")
	f.eventually("a says what refuses it", func() bool {
		why := f.show("a").Why
		return why.State == desk.StateRunnable && why.Cause == desk.CauseCannotBegin && strings.Contains(why.Text, "w1") && strings.Contains(why.Message, "maximum bytes")
	})
	f.eventually("b says what the task in front waits for", func() bool {
		why := f.show("b").Why
		return why.Behind == "a" && strings.Contains(why.Text, "which waits too: it could not begin")
	})
	full(-1)
	f.until("a", desk.StateEnded)
}
