package queue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestWhatIsDeletedWhileTheServiceRunsIsMadeAgain(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, q := open(t, topology)
	core, said := observer.New(zap.ErrorLevel)
	watch := queue.NewWatch(nc, js, topology, zap.New(core))
	if err := watch.Look(t.Context()); err != nil || said.Len() > 0 {
		t.Fatalf("nothing is missing: %v, %v", err, said.All())
	}
	for _, name := range []string{"DISPATCH_TASKS", "DISPATCH_EVENTS", "DISPATCH_DLQ", "KV_dispatch_run", "KV_dispatch_lease"} {
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := watch.Look(t.Context()); err != nil {
			t.Errorf("%s was deleted: %v", name, err)
		}
		if all := said.TakeAll(); len(all) == 0 || all[0].ContextMap()["what"] != "stream "+name {
			t.Errorf("%s was deleted and the log says %v", name, all)
		}
	}
	queued(t, js, topology, "web", "a")
	if err := fetch(t, q).Done(t.Context()); err != nil {
		t.Errorf("the queue that was made again: %v", err)
	}
	if err := js.DeleteConsumer(t.Context(), "DISPATCH_TASKS", "dispatchd"); err != nil {
		t.Fatal(err)
	}
	queued(t, js, topology, "web", "b")
	if err := watch.Look(t.Context()); err != nil || said.Len() != 1 {
		t.Errorf("the consumer was deleted: %v, %v", err, said.All())
	}
	if got := fetch(t, q).Message().Subject; !strings.HasSuffix(got, ".b") {
		t.Errorf("the consumer that was made again gives %s, want b", got)
	}
}

func TestWhatIsChangedWhileTheServiceRunsIsNamed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]struct {
		stream string
		to     func(*jetstream.StreamConfig)
	}{
		"KV_dispatch_lease does not fit: direct gets are allowed":       {"KV_dispatch_lease", func(c *jetstream.StreamConfig) { c.AllowDirect = true }},
		"KV_dispatch_lease does not fit: age is 1h0m0s and must be 25s": {"KV_dispatch_lease", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		"KV_dispatch_run does not fit: age is 1h0m0s and must be 0s":    {"KV_dispatch_run", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			topology := queue.Topology{Replicas: 1}
			nc, js, _ := open(t, topology)
			stream, err := js.Stream(t.Context(), change.stream)
			if err != nil {
				t.Fatal(err)
			}
			config := stream.CachedInfo().Config
			change.to(&config)
			if _, err := js.UpdateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			err = queue.NewWatch(nc, js, topology, zap.NewNop()).Look(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to name the stream and what is wrong", err)
			}
		})
	}
}

func TestWhatCannotBeMadeAgainIsNamed(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, _ := open(t, topology)
	if err := js.DeleteStream(t.Context(), "DISPATCH_DLQ"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"dispatch.dlq.*"}}); err != nil {
		t.Fatal(err)
	}
	core, said := observer.New(zap.ErrorLevel)
	err := queue.NewWatch(nc, js, topology, zap.New(core)).Look(t.Context())
	if err == nil || !strings.Contains(err.Error(), "stream DISPATCH_DLQ was deleted and cannot be made again") || !strings.Contains(err.Error(), "another stream covers") {
		t.Errorf("got %v, want what is gone and why it stays so", err)
	}
	if said.Len() > 0 {
		t.Errorf("the log says %v, though nothing was made", said.All())
	}
}

func TestAFilterOfTheConsumerIsNamed(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, _ := open(t, topology)
	consumer, err := js.Consumer(t.Context(), "DISPATCH_TASKS", "dispatchd")
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	config.FilterSubject = "dispatch.task.deploy-image.>"
	if _, err := js.UpdateConsumer(t.Context(), "DISPATCH_TASKS", config); err != nil {
		t.Fatal(err)
	}
	err = queue.NewWatch(nc, js, topology, zap.NewNop()).Look(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no filter") {
		t.Errorf("got %v, want it to name the filter: other tasks are never delivered", err)
	}
}

// What `nats kv del` leaves behind is no lease, and in nobody's way.
func TestALeaseThatSomebodyHasDeletedWithAToolIsTakenAgain(t *testing.T) {
	t.Parallel()
	_, js, _ := open(t, queue.Topology{Replicas: 1})
	bucket, err := js.KeyValue(t.Context(), "dispatch_lease")
	if err != nil {
		t.Fatal(err)
	}
	mine := leaseOf(t, js, "w1", "a")
	for what, remove := range map[string]func() error{
		"deleted": func() error { return bucket.Delete(t.Context(), "target.web") },
		"purged":  func() error { return bucket.Purge(t.Context(), "target.web") },
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if err := mine.Renew(t.Context()); !errors.Is(err, worker.ErrLeaseGone) {
			t.Errorf("renew what was %s: %v, want ErrLeaseGone", what, err)
		}
		if err := mine.Retake(t.Context()); err != nil {
			t.Errorf("retake what was %s: %v", what, err)
		}
	}
	if err := bucket.Delete(t.Context(), "target.web"); err != nil {
		t.Fatal(err)
	}
	if other := leaseOf(t, js, "w2", "b"); other.blocked != nil {
		t.Errorf("another task: %+v, want the lease", other.blocked)
	}
}

func TestARecordThatCannotBeReadKeepsNobodyElseFromBeingSwept(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	runs := runsOf(t, js, topology, "w1")
	claim(t, runs, "killed")
	if _, err := js.Publish(t.Context(), "$KV.dispatch_run.odd", []byte("oops")); err != nil {
		t.Fatal(err)
	}
	orphans, err := queue.NewOrphanage(leasesOf(t, js, topology, "w1"), runs).Orphans(t.Context())
	if len(orphans) != 1 || orphans["killed"].Revision == 0 {
		t.Errorf("the orphans are %v, want the killed one", orphans)
	}
	if err == nil || !strings.Contains(err.Error(), "odd") {
		t.Errorf("got %v, want it to name the record", err)
	}
}

func TestAMessageThatIsGoneIsNotWorkedOn(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	queued(t, js, topology, "web", "a", "b")
	a := fetch(t, q)
	deleteFirst(t, js)
	if _, blocked := turn(t, a); blocked == nil || !blocked.Mine {
		t.Errorf("a, which somebody has deleted: %+v, want it handed back", blocked)
	}
	if _, blocked := turn(t, fetch(t, q)); blocked != nil {
		t.Errorf("b: %+v, want its turn", blocked)
	}
}

func deleteFirst(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "DISPATCH_TASKS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), stream.CachedInfo().State.FirstSeq); err != nil {
		t.Fatal(err)
	}
}

// A new stream never confirms an acknowledgement of the old one's message: who
// waited for that would keep its slot for ever.
func TestAMessageIsDoneWhoseStreamWasDeleted(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, q := open(t, topology)
	queued(t, js, topology, "web", "a")
	a := fetch(t, q)
	if err := js.DeleteStream(t.Context(), "DISPATCH_TASKS"); err != nil {
		t.Fatal(err)
	}
	if err := queue.NewWatch(nc, js, topology, zap.NewNop()).Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := a.Done(t.Context()); err != nil {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestAnIDNamesOneTask(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	runs := runsOf(t, js, topology, "w1")
	claim := func(subject string) error {
		_, err := runs.Claim(t.Context(), worker.ClaimRequest{TaskID: "a", New: worker.Run{Queue: subject, Targets: []string{"web"}}})
		return err
	}
	first := topology.TaskSubject("deploy-image", "web", "a")
	if err := claim(first); err != nil {
		t.Fatal(err)
	}
	if err := claim(topology.TaskSubject("deploy-image", "api", "a")); err != worker.ErrOtherTask { //nolint:errorlint // it is returned as it is
		t.Errorf("the same id for another job: %v, want %v", err, worker.ErrOtherTask)
	}
	if err := claim(first); err != nil {
		t.Errorf("the first one once more: %v", err)
	}
	for job, want := range map[string]error{"web": nil, "api": worker.ErrOtherTask} {
		request := worker.ClaimRequest{TaskID: "a", New: worker.Run{Targets: []string{job}}}
		if _, err := runs.Claim(t.Context(), request); err != want { //nolint:errorlint // it is returned as it is
			t.Errorf("a run-once about %s with the id of a queued task about web: %v, want %v", job, err, want)
		}
	}
}

func TestAQueueThatIsNotThereMakesNoOrphans(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	runs := runsOf(t, js, topology, "w1")
	leases := leasesOf(t, js, topology, "w1")
	for id, subject := range map[string]string{"a": topology.TaskSubject("deploy-image", "web", "a"), "once": ""} {
		if _, err := runs.Claim(t.Context(), worker.ClaimRequest{TaskID: id, New: worker.Run{Queue: subject}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.DeleteStream(t.Context(), "DISPATCH_TASKS"); err != nil {
		t.Fatal(err)
	}
	if orphans, err := queue.NewOrphanage(leases, runs).Orphans(t.Context()); err != nil || len(orphans) != 1 || orphans["once"].Revision == 0 {
		t.Errorf("without a queue the orphans are %v, %v, want the run-once alone", orphans, err)
	}
}
