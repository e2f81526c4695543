package queue_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(natstest.Run(t).ClientURL(), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// open makes the topology and a queue over it.
func open(t *testing.T, topology queue.Topology) (*nats.Conn, jetstream.JetStream, *queue.JetStream) {
	t.Helper()
	nc, js := connect(t)
	if err := queue.EnsureService(t.Context(), nc, js, topology); err != nil {
		t.Fatal(err)
	}
	return nc, js, another(t, nc, js, topology, "w1")
}

// runsOf are the runs as a worker of the given name sees them.
func runsOf(t *testing.T, js jetstream.JetStream, topology queue.Topology, name string) *queue.Runs {
	t.Helper()
	runs, err := queue.NewRuns(t.Context(), js, topology, name)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// leasesOf are the leases as a worker of the given name sees them.
func leasesOf(t *testing.T, js jetstream.JetStream, topology queue.Topology, name string) *queue.Leases {
	t.Helper()
	leases, err := queue.NewLeases(t.Context(), js, topology, name)
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

// another is the queue as a worker of the given name sees it.
func another(t *testing.T, nc *nats.Conn, js jetstream.JetStream, topology queue.Topology, name string) *queue.JetStream {
	t.Helper()
	leases := leasesOf(t, js, topology, name)
	q, err := queue.NewJetStream(t.Context(), nc, leases)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

const body = `{"task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1"}}`

func publish(t *testing.T, js jetstream.JetStream, subject, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, q worker.Queue) worker.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d, err := q.Fetch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// empty fails where the stream still holds a message.
func empty(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("stream %s holds %d messages, want none", name, n)
	}
}

func TestADeliveryIsReadAndAcknowledged(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Prefix: "staging", Replicas: 1}
	_, js, q := open(t, topology)
	publish(t, js, topology.TaskSubject("deploy-image", "web", "id-1"), body)
	d := fetch(t, q)
	task, err := d.Decode()
	if err != nil || task.ID != "id-1" || task.Deploy.ImageName != "nginx" {
		t.Errorf("Decode() = %+v, %v", task, err)
	}
	msg := d.Message()
	if msg.Deliveries != 1 || msg.Subject != "staging.dispatch.task.deploy-image.web.id-1" || time.Since(msg.Queued) > time.Minute {
		t.Errorf("Message() = %+v", msg)
	}
	if err := d.Extend(t.Context()); err != nil {
		t.Error(err)
	}
	if err := d.Done(t.Context()); err != nil {
		t.Error(err)
	}
	empty(t, js, "staging_DISPATCH_TASKS")
}

func TestAMessageThatIsHandedBackComesAgain(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	publish(t, js, topology.TaskSubject("deploy-image", "web", "id-1"), body)
	if err := fetch(t, q).Retry(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	d := fetch(t, q)
	if got := d.Message().Deliveries; got != 2 {
		t.Errorf("deliveries = %d, want 2", got)
	}
	if err := d.Done(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASubjectThatContradictsItsBodyIsRefused(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	for _, subject := range []string{
		"dispatch.task.destroy-job-pack.web.id-1", "dispatch.task.deploy-image.other.id-2", "dispatch.task.deploy-image.web", "dispatch.task.deploy-image.web.id-3.more",
	} {
		publish(t, js, subject, body)
		d := fetch(t, q)
		_, err := d.Decode()
		if got := tasks.AsFailure(err); err == nil || got.Reason != tasks.ReasonSubjectMismatch {
			t.Errorf("%s: %v, want subject_mismatch", subject, err)
		}
		if err := d.Done(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestADeadLetterKeepsTheMessageAndSaysWhy(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	msg := nats.NewMsg("dispatch.task.deploy-image.web.id-1")
	msg.Data = []byte("no json")
	msg.Header.Set("X-Sender", "backend")
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	d := fetch(t, q)
	why := worker.DeadLetter{Reason: tasks.ReasonInvalidTask, Message: "failed to parse\nthe body", Attempt: 1}
	if err := d.Discard(t.Context(), why); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "DISPATCH_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	letter, err := stream.GetLastMsgForSubject(t.Context(), "dispatch.dlq.id-1")
	if err != nil {
		t.Fatal(err)
	}
	if string(letter.Data) != "no json" {
		t.Errorf("body = %q, want it as it came", letter.Data)
	}
	want := map[string]string{
		"X-Sender": "backend", "Dispatch-Reason": "invalid_task", "Dispatch-Error": "failed to parse the body",
		"Dispatch-Attempt": "1", "Dispatch-Subject": "dispatch.task.deploy-image.web.id-1", "Nats-Msg-Id": "id-1.dlq.1",
	}
	for name, value := range want {
		if got := letter.Header.Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	waitEmpty(t, js, "DISPATCH_TASKS")
}

func TestADeadLetterWithoutAnIDGetsOneFromItsSubject(t *testing.T) {
	t.Parallel()
	_, js, q := open(t, queue.Topology{Replicas: 1})
	publish(t, js, "dispatch.task.what", "x")
	if err := fetch(t, q).Discard(t.Context(), worker.DeadLetter{Reason: tasks.ReasonSubjectMismatch}); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "DISPATCH_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	if len(info.State.Subjects) != 1 {
		t.Errorf("subjects = %v, want one", info.State.Subjects)
	}
	for subject := range info.State.Subjects {
		token, ok := strings.CutPrefix(subject, "dispatch.dlq.x")
		if !ok || len(token) != 32 {
			t.Errorf("subject = %s, want x and 32 hex digits", subject)
		}
	}
}

// waitEmpty polls: a term has no answer.
func waitEmpty(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("stream %s is not empty", name)
		}
	}
}

func TestATaskIsQueuedOnceAtATime(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	subject := topology.TaskSubject("deploy-image", "web", "id-1")
	publish(t, js, subject, body)
	if _, err := js.Publish(t.Context(), subject, []byte(body)); err == nil {
		t.Error("the same id was queued twice")
	}
}

func TestEnsureIsHappyTwiceAndRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stream jetstream.StreamConfig
		want   string
	}{
		"another retention": {jetstream.StreamConfig{Name: "DISPATCH_TASKS", Subjects: []string{"dispatch.task.>"}}, "retention is Limits and must be WorkQueue"},
		"other subjects":    {jetstream.StreamConfig{Name: "DISPATCH_DLQ", Subjects: []string{"other.>"}}, "subjects is other.> and must be dispatch.dlq.*"},
		"direct gets":       {jetstream.StreamConfig{Name: "DISPATCH_EVENTS", Subjects: []string{"dispatch.done.*", "dispatch.event.>", "dispatch.cancel.*"}, AllowDirect: true}, "direct gets are allowed"},
		"an overlap":        {jetstream.StreamConfig{Name: "BACKEND", Subjects: []string{"dispatch.>"}}, "DISPATCHD_SUBJECT_ROOT"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, js := connect(t)
			if _, err := js.CreateStream(t.Context(), test.stream); err != nil {
				t.Fatal(err)
			}
			err := queue.EnsureService(t.Context(), nc, js, queue.Topology{Replicas: 1})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one that says %q", err, test.want)
			}
		})
	}
	nc, js := connect(t)
	for range 2 {
		if err := queue.EnsureService(t.Context(), nc, js, queue.Topology{Replicas: 1}); err != nil {
			t.Error(err)
		}
	}
}

func TestPrefixesDoNotCollide(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	for _, prefix := range []string{"", "a", "a.b", "a_b", "a-b", "a b"} {
		name := queue.Topology{Prefix: prefix}.Tasks()
		if strings.ContainsAny(name, ". ") {
			t.Errorf("the name %q cannot be a stream's", name)
		}
		if other, taken := names[name]; taken {
			t.Errorf("prefixes %q and %q share the name %s", prefix, other, name)
		}
		names[name] = prefix
	}
}

func TestEachPrefixHasInboxesOfItsOwn(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"": "_INBOX.dispatchd", "p7": "_INBOX.p7_dispatchd"} {
		topology := queue.Topology{Prefix: prefix}
		if got := topology.Inbox(natsconn.WorkerInbox); got != want {
			t.Errorf("the inbox of workers with prefix %q is %s, want %s", prefix, got, want)
		}
	}
}

func newRuns(t *testing.T) (jetstream.JetStream, *queue.Runs, *queue.Runs) {
	t.Helper()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	var all []*queue.Runs
	for _, id := range []string{"w1", "w2"} {
		runs := runsOf(t, js, topology, id)
		all = append(all, runs)
	}
	return js, all[0], all[1]
}

func claim(t *testing.T, runs *queue.Runs, id string) worker.Claim {
	t.Helper()
	c, err := runs.Claim(t.Context(), worker.ClaimRequest{TaskID: id})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALaterClaimFencesTheEarlier(t *testing.T) {
	t.Parallel()
	_, one, two := newRuns(t)
	first := claim(t, one, "id")
	if err := first.Save(t.Context(), func(r *worker.Run) { r.Announced = true }); err != nil {
		t.Fatal(err)
	}
	second := claim(t, two, "id")
	if got := second.Run(); got.Claims != 2 || got.Attempts != 2 || !got.Announced || got.Worker != "w2" || got.Lost() != 1 {
		t.Errorf("the second claim reads %+v", got)
	}
	if second.Age() <= 0 || second.Age() > time.Minute {
		t.Errorf("age = %s, want the time since the first claim", second.Age())
	}
	if err := first.Save(t.Context(), func(*worker.Run) {}); !errors.Is(err, worker.ErrClaimLost) {
		t.Errorf("the first claim saved: %v, want ErrClaimLost", err)
	}
	if err := first.Delete(t.Context()); err != nil {
		t.Errorf("deleting by a lost claim: %v, want nil and no effect", err)
	}
	if err := second.Save(t.Context(), func(r *worker.Run) { r.Outcome = &worker.Settlement{TaskID: "id"} }); err != nil {
		t.Errorf("the owner cannot save: %v", err)
	}
}

// The first write of a claim, given up as lost and sent again, may come to the
// server after the run has ended.
func TestARunThatALostWriteMakesAnewIsNobodys(t *testing.T) {
	t.Parallel()
	js, one, two := newRuns(t)
	ours := claim(t, one, "a")
	stream, err := js.Stream(t.Context(), "KV_dispatch_run")
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.GetLastMsgForSubject(t.Context(), "$KV.dispatch_run.a")
	if err != nil {
		t.Fatal(err)
	}
	if err := claim(t, two, "a").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), first.Subject, first.Data); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"holds": ours.Holds(t.Context()), "save": ours.Save(t.Context(), func(*worker.Run) {}),
	} {
		if !errors.Is(err, worker.ErrClaimLost) {
			t.Errorf("%s: %v, want ErrClaimLost: the run has ended", what, err)
		}
	}
}

func TestTheAgeCountsFromTheFirstClaimThroughSaves(t *testing.T) {
	t.Parallel()
	_, one, two := newRuns(t)
	first := claim(t, one, "id")
	for range 3 {
		if err := first.Save(t.Context(), func(r *worker.Run) { r.LogSequence++ }); err != nil {
			t.Fatal(err)
		}
	}
	second, third := claim(t, two, "id"), claim(t, one, "id")
	if third.Age() < second.Age() || second.Age() <= 0 {
		t.Errorf("ages %s and %s, want them to grow", second.Age(), third.Age())
	}
}

func TestADeletedRunLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	js, one, _ := newRuns(t)
	c := claim(t, one, "id")
	for range 2 {
		if err := c.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	empty(t, js, "KV_dispatch_run")
	if _, err := one.Claim(t.Context(), worker.ClaimRequest{TaskID: "id", Resume: true}); !errors.Is(err, worker.ErrNoRun) {
		t.Errorf("resuming it: %v, want ErrNoRun", err)
	}
	if got := claim(t, one, "id").Run().Claims; got != 1 {
		t.Errorf("claims = %d, want a fresh run", got)
	}
}

func TestOnceGivesItsDeliveryAgainAfterItsDelay(t *testing.T) {
	t.Parallel()
	q := queue.NewOnce(tasks.Task{ID: "a"}, nil, "")
	d := fetch(t, q)
	began := time.Now()
	if err := d.Retry(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	d = fetch(t, q)
	if got := d.Message().Deliveries; got != 2 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("delivery %d after %s, want the second after its delay", got, time.Since(began))
	}
	if err := d.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Fetch(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v, want io.EOF", err)
	}
}

func TestOnceEndsWhereADeliveryIsLeftWithoutAVerb(t *testing.T) {
	t.Parallel()
	q := queue.NewOnce(tasks.Task{ID: "a"}, nil, "")
	fetch(t, q)
	if _, err := q.Fetch(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Fetch() = %v, want io.EOF", err)
	}
}

func TestStatsSeeWhatWaits(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	queued(t, js, topology, "web", "a", "b", "c")
	queued(t, js, topology, "api", "d")
	queued(t, js, topology, "new", "e", "f")
	a, b := fetch(t, q), fetch(t, q)
	if _, blocked := turn(t, a); blocked != nil {
		t.Fatal(blocked)
	}
	if _, blocked := turn(t, b); blocked == nil {
		t.Fatal("b is not blocked")
	}
	_, d := fetch(t, q), fetch(t, q)
	runs := runsOf(t, js, topology, "w1")
	claim(t, runs, "a")
	claim(t, runs, "d")
	if err := d.Retry(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	stats, err := queue.NewReader(js, topology).Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.OldestPending <= 0 {
		t.Errorf("the oldest waits %s", stats.OldestPending)
	}
	stats.OldestPending = 0
	if want := (queue.Stats{Runnable: 2, Running: 1, Retry: 1, Blocked: 2}); stats != want {
		t.Errorf("Stats() = %+v, want %+v", stats, want)
	}
}
