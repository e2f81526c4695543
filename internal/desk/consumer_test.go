package desk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/desk"
)

// stopped is a way in which the queue delivers nothing, and what is said then.
type stopped struct {
	stop  func() error
	cause desk.Cause
	text  string
}

// ways are those in which the queue's consumer is stopped, one after the other.
func (f *floor) ways() []stopped {
	f.t.Helper()
	ctx, stream := f.t.Context(), f.topology.Tasks()
	consumer, err := f.js.Consumer(ctx, stream, "dispatchd")
	if err != nil {
		f.t.Fatal(err)
	}
	pause := func() error {
		_, err := f.js.PauseConsumer(ctx, stream, "dispatchd", time.Now().Add(time.Hour))
		return err
	}
	remove := func() error { return f.js.DeleteConsumer(ctx, stream, "dispatchd") }
	filter := func() error {
		config := consumer.CachedInfo().Config
		config.FilterSubjects = []string{f.topology.TaskSubject("*", "api", "*"), prefix + ".dispatch.task.destroy-job-pack.>"}
		_, err := f.js.CreateConsumer(ctx, stream, config)
		return err
	}
	return []stopped{
		{pause, desk.CausePaused, ": `nats consumer resume staging_DISPATCH_TASKS dispatchd`"},
		{remove, desk.CauseNoConsumer, "the queue's consumer is not there: a worker that may make it does so within seconds; else start one with the rights of SETUP"},
		{filter, desk.CauseFiltered, "some tasks are never delivered: delete it (`nats consumer rm staging_DISPATCH_TASKS dispatchd`)"},
	}
}

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
	f.says("a", desk.Why{State: desk.StateRunnable, Cause: desk.CauseDelivering, Text: "is being delivered: 2 of 2 slots are free"})
	for _, way := range f.ways() {
		if err := way.stop(); err != nil {
			t.Fatal(err)
		}
		for where, got := range map[string]desk.Why{"show": f.show("a").Why, "queue": f.row("a").Why} {
			if got.State != desk.StateRunnable || got.Cause != way.cause || !strings.Contains(got.Text, way.text) {
				t.Errorf("%s a: %+v, want %s because %q", where, got, way.cause, way.text)
			}
		}
		for id, cause := range map[string]desk.Cause{"b": desk.CauseBehind, "gone": desk.CauseWorkerLost, "back": desk.CauseHandedBack} {
			if got := f.show(id); got.Cause != cause || !strings.Contains(got.Text, way.text) || strings.Contains(got.Text, "within a minute") {
				t.Errorf("%s: %+v, want %s and that %q", id, got.Why, cause, way.text)
			}
		}
		if got := f.queue(desk.QueueQuery{}).Warnings; len(got) != 1 || !strings.Contains(got[0], way.text) || strings.Contains(got[0], "for another 0s") {
			t.Errorf("warnings %q, want %q", got, way.text)
		}
	}
	f.publish("api", "passes")
	f.says("passes", desk.Why{State: desk.StateRunnable, Cause: desk.CauseDelivering, Text: "is being delivered: 2 of 2 slots are free"})
}
