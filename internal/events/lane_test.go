package events_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// another is the publisher of another worker.
func (a *audience) another() *events.Publisher {
	return events.NewPublisher(a.nc, a.js, events.Options{
		Subjects: events.NewSubjects("", ""), Stream: "EVENTS", Log: zap.NewNop(), Metrics: events.NewMetrics(prometheus.NewRegistry()),
	})
}

// begun is a task whose run the publisher has begun.
func begun(t *testing.T, p *events.Publisher, id string) worker.Subject {
	t.Helper()
	about := subject(tasks.KindDeployImage)
	about.Task.ID = id
	run, err := p.Begin(t.Context(), about)
	if err != nil {
		t.Fatal(err)
	}
	run.Claims, run.Attempts = 1, 1
	about.Run = run
	return about
}

// keep makes the backend's stream forget Nats-Msg-Ids at once, so that nothing
// but the lane keeps events single.
func (a *audience) keep(t *testing.T, change func(*jetstream.StreamConfig)) {
	t.Helper()
	config := jetstream.StreamConfig{Name: "BACKEND", Subjects: []string{"deployment.>", "job.destroyed"}, Duplicates: 100 * 1e6}
	if change != nil {
		change(&config)
	}
	if err := a.js.DeleteStream(t.Context(), "BACKEND"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// compose makes the settlement of an outcome.
func compose(t *testing.T, p *events.Publisher, about worker.Subject, outcome tasks.Outcome) worker.Settlement {
	t.Helper()
	stream, err := p.Open(t.Context(), about)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	return stream.Compose(outcome)
}

// count returns how often each event key stands in the stream.
func (a *audience) count(t *testing.T) map[string]int {
	t.Helper()
	keys := map[string]int{}
	for _, msg := range a.messages(t, "BACKEND") {
		keys[msg.Header.Get(nats.MsgIdHdr)]++
	}
	return keys
}

// forgetIDs waits until the server has forgotten the ids of what stands: a
// message whose id it knew would be dropped by it alone.
func (a *audience) forgetIDs(t *testing.T) {
	t.Helper()
	for i := 0; ; i++ {
		probe := nats.NewMsg("deployment.probe")
		probe.Header.Set(nats.MsgIdHdr, "probe")
		ack, err := a.js.PublishMsg(t.Context(), probe)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && !ack.Duplicate {
			return
		}
	}
}

func TestAnEventThatStandsIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	a.keep(t, nil)
	about := begun(t, a.publisher, "task-1")
	settlement := compose(t, a.publisher, about, tasks.Outcome{})
	for i, p := range []*events.Publisher{a.publisher, a.publisher, a.another(), a.another()} {
		if err := p.Announce(t.Context(), settlement); err != nil {
			t.Fatal(err)
		}
		a.forgetIDs(t)
		if got := a.count(t)["task-1.deployment.succeeded"]; got != 1 {
			t.Fatalf("after publisher %d the event stands %d times, want once", i, got)
		}
	}
}

func TestAStalledPublisherThatWakesUpSaysNothingAgain(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	a.keep(t, nil)
	stalled, other := a.publisher, a.another()
	about := begun(t, stalled, "task-1")
	settlement := compose(t, stalled, about, tasks.Outcome{})
	// Both know the subject; the other goes on while the first one sleeps.
	for _, id := range []string{"before", "task-1", "after"} {
		s := settlement
		if id != "task-1" {
			s = compose(t, other, begun(t, other, id), tasks.Outcome{})
		}
		if err := other.Announce(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	a.forgetIDs(t)
	if err := stalled.Announce(t.Context(), settlement); err != nil {
		t.Fatal(err)
	}
	if got := a.count(t)["task-1.deployment.succeeded"]; got != 1 {
		t.Errorf("the event stands %d times, want once", got)
	}
}

func TestManyPublishersOfOneSubjectKeepEveryEventSingle(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	a.keep(t, nil)
	publishers := []*events.Publisher{a.publisher, a.another(), a.another()}
	var settlements []worker.Settlement
	for i := range 40 {
		settlements = append(settlements, compose(t, a.publisher, begun(t, a.publisher, fmt.Sprintf("t%d", i)), tasks.Outcome{}))
	}
	var all sync.WaitGroup
	for i, p := range publishers {
		all.Go(func() {
			for j := range settlements {
				s := settlements[(j*(i+1)+i)%len(settlements)]
				if err := p.Announce(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	keys := a.count(t)
	if len(keys) != len(settlements) {
		t.Errorf("%d keys stand, want %d", len(keys), len(settlements))
	}
	for key, times := range keys {
		if times != 1 {
			t.Errorf("%s stands %d times", key, times)
		}
	}
}

func TestALaneSurvivesWhatHappensToTheStream(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	a.keep(t, nil)
	say := func(id string) {
		t.Helper()
		if err := a.publisher.Announce(t.Context(), compose(t, a.publisher, begun(t, a.publisher, id), tasks.Outcome{})); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	say("one")
	stream, err := a.js.Stream(t.Context(), "BACKEND")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	say("after-a-purge")
	a.keep(t, nil)
	say("in-a-new-stream")
	if got := a.count(t); len(got) != 1 || got["in-a-new-stream.deployment.succeeded"] != 1 {
		t.Errorf("the new stream holds %v", got)
	}
}

func TestWhereNothingCanBeFencedTheIDAloneKeepsEventsSingle(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"work queue": func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		"the last of each subject": func(c *jetstream.StreamConfig) {
			c.MaxMsgsPerSubject = 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAudience(t, "", false)
			a.keep(t, func(c *jetstream.StreamConfig) { change(c); c.Duplicates = 0 })
			settlement := compose(t, a.publisher, begun(t, a.publisher, "task-1"), tasks.Outcome{})
			for _, p := range []*events.Publisher{a.publisher, a.another()} {
				if err := p.Announce(t.Context(), settlement); err != nil {
					t.Fatal(err)
				}
			}
			if got := a.count(t)["task-1.deployment.succeeded"]; got != 1 {
				t.Errorf("the event stands %d times, want once", got)
			}
			unfenced, err := a.publisher.Unfenced(t.Context())
			if err != nil || len(unfenced) != 4 {
				t.Errorf("Unfenced() = %v, %v, want each of the four subjects with why", unfenced, err)
			}
			if repeatable, err := a.open(t, subject(tasks.KindDeployImage)).Started(t.Context()); repeatable || err != nil {
				t.Errorf("Started() = %v, %v, want that it must not be said again", repeatable, err)
			}
		})
	}
	a := newAudience(t, "", false)
	if unfenced, err := a.publisher.Unfenced(t.Context()); err != nil || len(unfenced) != 0 {
		t.Errorf("Unfenced() = %v, %v, want none for a stream that keeps everything", unfenced, err)
	}
	if repeatable, err := a.open(t, subject(tasks.KindDeployImage)).Started(t.Context()); !repeatable || err != nil {
		t.Errorf("Started() = %v, %v, want that it may be said again", repeatable, err)
	}
}

func TestALogEndsOnceForEachTask(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	first := compose(t, a.publisher, begun(t, a.publisher, "task-1"), tasks.Outcome{})
	again := compose(t, a.publisher, begun(t, a.publisher, "task-2"), tasks.Outcome{Failure: tasks.ErrTimeout})
	for _, s := range []worker.Settlement{first, again, first, again} {
		if err := a.another().EndLog(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	ends := a.heard(t, "LOGS")
	if len(ends) != 2 || !strings.Contains(ends[0], "success") || !strings.Contains(ends[1], "failed") {
		t.Errorf("the log's ends are %q, want one for each of the two tasks", ends)
	}
}

func TestAWillSaysThatTheTaskBeganAndFailed(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	about := begun(t, a.publisher, "task-1")
	stream := a.open(t, about)
	if _, err := stream.Started(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.tell(t, *about.Run.Will)
	got := strings.Join(a.heard(t, "BACKEND"), "\n")
	want := `deployment.status.changed {"jobId":456,"status":"IN_PROGRESS"}
deployment.failed {"jobId":456,"type":"image","deploymentId":"dep-1","serviceId":"svc-1","teamId":"team","userId":1,"ownerId":"own<&>er"}`
	if got != want {
		t.Errorf("the backend heard\n%s\nwant\n%s", got, want)
	}
	if reason := about.Run.Will.Reason; reason != tasks.ReasonWorkerLost {
		t.Errorf("the will's reason is %s", reason)
	}
}

func TestACancelIsFoundAfterwards(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	if _, err := a.js.Publish(t.Context(), "dispatch.cancel.task-1", nil); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"task-1": true, "task-2": false} {
		if got, err := a.publisher.Cancelled(t.Context(), id); got != want || err != nil {
			t.Errorf("Cancelled(%s) = %v, %v, want %v", id, got, err, want)
		}
	}
}

func TestWhoWaitsSaysForWhom(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	a.publisher.Waiting(t.Context(), subject(tasks.KindDeployImage), worker.Wait{Behind: "task-0"})
	if err := a.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	said := a.messages(t, "EVENTS")
	if len(said) != 1 || said[0].Subject != "dispatch.event.task-1.waiting" {
		t.Fatalf("heard %+v, want one event", said)
	}
	var event events.RunEvent
	if err := json.Unmarshal(said[0].Data, &event); err != nil {
		t.Fatal(err)
	}
	event.At = ""
	want := events.RunEvent{TaskID: "task-1", Kind: tasks.KindDeployImage, Event: events.EventWaiting, Behind: "task-0"}
	if event != want {
		t.Errorf("got %+v, want %+v", event, want)
	}
}
