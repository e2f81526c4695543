package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// turn asks for a delivery's turn and returns who goes first where it is not.
func turn(t *testing.T, d worker.Delivery) (worker.Lease, *worker.BlockedError) {
	t.Helper()
	task, err := d.Decode()
	if err != nil {
		t.Fatal(err)
	}
	lease, err := d.Turn(t.Context(), worker.Holder{TaskID: task.ID, Targets: task.Targets()})
	blocked := (*worker.BlockedError)(nil)
	if err != nil && !errors.As(err, &blocked) {
		t.Fatal(err)
	}
	return lease, blocked
}

func bodyFor(job string) string {
	return fmt.Sprintf(`{"task":"deploy-image","params":{"jobId":%q,"imageName":"nginx","deploymentId":"d1","serviceId":"s1"}}`, job)
}

// queued publishes a task for each id, in order.
func queued(t *testing.T, js jetstream.JetStream, topology queue.Topology, job string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		publish(t, js, topology.TaskSubject("deploy-image", job, id), bodyFor(job))
	}
}

func TestOneTaskOfAJobAtATimeInTheOrderOfPublication(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Prefix: "staging", Replicas: 1}
	nc, js, one := open(t, topology)
	two := another(t, nc, js, topology, "w2")
	queued(t, js, topology, "web", "a", "b", "c")
	queued(t, js, topology, "api", "d")
	a, b, c, d := fetch(t, one), fetch(t, two), fetch(t, one), fetch(t, two)

	if _, blocked := turn(t, c); blocked == nil || blocked.By != "a" || blocked.After <= 2*time.Second {
		t.Errorf("c, with nobody at work: %+v, want it to wait behind a", blocked)
	}
	held, blocked := turn(t, a)
	if blocked != nil {
		t.Fatalf("a waits for %s, want its turn", blocked.By)
	}
	if _, blocked := turn(t, b); blocked == nil || blocked.By != "a" || blocked.After != 2*time.Second || blocked.Mine || blocked.Fence != held.Fence() {
		t.Errorf("b: %+v, want it next in line behind a", blocked)
	}
	if _, blocked := turn(t, c); blocked == nil || blocked.By != "a" || blocked.After < 4*time.Second || blocked.After > 68*time.Second {
		t.Errorf("c: %+v, want it behind a with a longer wait", blocked)
	}
	if _, blocked := turn(t, d); blocked != nil {
		t.Errorf("d, of another job: %+v, want its turn", blocked)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, blocked := turn(t, b); blocked == nil || blocked.By != "a" {
		t.Errorf("b, while a waits for another attempt: %+v, want it behind a", blocked)
	}
	if err := a.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, blocked := turn(t, b); blocked != nil {
		t.Errorf("b, after a has ended: %+v, want its turn", blocked)
	}
}

func TestARedeliveryWaitsForTheWorkerThatHasTheTask(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, one := open(t, topology)
	two := another(t, nc, js, topology, "w2")
	queued(t, js, topology, "web", "a")
	first := fetch(t, one)
	if _, blocked := turn(t, first); blocked != nil {
		t.Fatal(blocked)
	}
	if err := first.Retry(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, blocked := turn(t, fetch(t, two)); blocked == nil || !blocked.Mine {
		t.Errorf("the second worker: %+v, want to hear that the task itself is at work elsewhere", blocked)
	}
}

func TestTheNewestDeploymentBehindIsFound(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	queued(t, js, topology, "web", "a", "b", "c")
	queued(t, js, topology, "api", "d")
	a, _, c := fetch(t, q), fetch(t, q), fetch(t, q)
	for d, want := range map[worker.Delivery]string{a: "c", c: ""} {
		if got, err := d.Newer(t.Context()); got != want || err != nil {
			t.Errorf("%s: newer is %q, %v, want %q", d.Message().Subject, got, err, want)
		}
	}
	publish(t, js, topology.TaskSubject("deploy-image", "api", "f"), `{"task":"deploy-image"}`)
	d := fetch(t, q)
	if got, err := d.Newer(t.Context()); got != "" || err != nil {
		t.Errorf("before one that cannot be read: newer is %q, %v, want none", got, err)
	}
	publish(t, js, topology.TaskSubject("destroy-job-pack", "web", "e"), `{}`)
	if got, err := a.Newer(t.Context()); got != "" || err != nil {
		t.Errorf("behind a destroy: newer is %q, %v, want none: only deployments take each other's place", got, err)
	}
}

// leaseOf takes the lease of web for a task of a worker.
func leaseOf(t *testing.T, js jetstream.JetStream, name, id string) taken {
	t.Helper()
	q := queue.NewOnce(taskOf(id, "web"), nil, "")
	q.Leases = leasesOf(t, js, queue.Topology{Replicas: 1}, name)
	lease, blocked := turn(t, fetch(t, q))
	return taken{lease, blocked}
}

type taken struct {
	worker.Lease
	blocked *worker.BlockedError
}

func taskOf(id, job string) tasks.Task {
	return tasks.Task{ID: id, Kind: tasks.KindDeployImage, Deploy: &tasks.Deploy{JobID: job}}
}

// expire does what the server does when a lease's time is over.
func expire(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KV_dispatch_lease")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestALeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	_, js, _ := open(t, queue.Topology{Replicas: 1})
	mine := leaseOf(t, js, "w1", "a")
	if !mine.Valid() {
		t.Error("a lease that was just taken is not valid")
	}
	if other := leaseOf(t, js, "w2", "b"); other.blocked == nil || other.blocked.By != "a" {
		t.Fatalf("another task got %+v, want to wait for a", other.blocked)
	}
	if err := mine.Renew(t.Context()); err != nil {
		t.Errorf("renew: %v", err)
	}

	expire(t, js)
	if err := mine.Renew(t.Context()); !errors.Is(err, worker.ErrLeaseGone) {
		t.Errorf("renewing a lease that has ended: %v, want ErrLeaseGone", err)
	}
	if err := mine.Retake(t.Context()); err != nil {
		t.Errorf("taking it again: %v", err)
	}

	expire(t, js)
	other := leaseOf(t, js, "w2", "b")
	if other.blocked != nil {
		t.Fatalf("the ended lease is not free: %+v", other.blocked)
	}
	for what, err := range map[string]error{"renew": mine.Renew(t.Context()), "retake": mine.Retake(t.Context())} {
		if !errors.Is(err, worker.ErrLeaseLost) {
			t.Errorf("%s of a lease that somebody else has: %v, want ErrLeaseLost", what, err)
		}
	}
	if err := mine.Release(t.Context()); err != nil {
		t.Errorf("release of a lease that is somebody else's: %v, want no effect", err)
	}
	if err := other.Renew(t.Context()); err != nil {
		t.Errorf("the new holder cannot renew: %v", err)
	}
}

// A write of ours without an answer may be one that came to the server long after
// it was given up, and somebody else may have had the lease in between.
func TestAWriteOfOursThatWeKnowNothingOfIsTakenAgainAndNotTrusted(t *testing.T) {
	t.Parallel()
	_, js, _ := open(t, queue.Topology{Replicas: 1})
	mine := leaseOf(t, js, "w1", "a")
	stream, err := js.Stream(t.Context(), "KV_dispatch_lease")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := stream.GetLastMsgForSubject(t.Context(), "$KV.dispatch_lease.target.web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), stored.Subject, stored.Data); err != nil {
		t.Fatal(err)
	}
	before := mine.Fence()
	if err := mine.Renew(t.Context()); !errors.Is(err, worker.ErrLeaseGone) {
		t.Errorf("renew: %v, want ErrLeaseGone", err)
	}
	if err := mine.Retake(t.Context()); err != nil {
		t.Errorf("retake: %v, want it to go on from its own write", err)
	}
	if err := mine.Renew(t.Context()); err != nil || mine.Fence() <= before {
		t.Errorf("renew: %v, the fence went from %d to %d, want a later one", err, before, mine.Fence())
	}
}

func TestWhoTakesItsLeaseAgainLosesItsTaskWhereTheMessageIsGone(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	queued(t, js, topology, "web", "a", "b")
	a, b := fetch(t, q), fetch(t, q)
	lease, blocked := turn(t, a)
	if blocked != nil {
		t.Fatal(blocked)
	}
	expire(t, js)
	if err := lease.Retake(t.Context()); err != nil {
		t.Fatalf("retake while the message is there: %v", err)
	}
	if err := a.Done(t.Context()); err != nil { // as if somebody had deleted it
		t.Fatal(err)
	}
	expire(t, js)
	if err := lease.Renew(t.Context()); !errors.Is(err, worker.ErrLeaseGone) {
		t.Errorf("renew: %v, want ErrLeaseGone", err)
	}
	if err := lease.Retake(t.Context()); !errors.Is(err, worker.ErrLeaseLost) {
		t.Errorf("retake: %v, want ErrLeaseLost: the job's next task may have had its turn", err)
	}
	if _, blocked := turn(t, b); blocked != nil {
		t.Errorf("the next task: %+v, want its turn at once", blocked)
	}
}

func TestALeaseThatWasTakenAgainIsNotOursBeforeTheMessageIsSeen(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, q := open(t, topology)
	queued(t, js, topology, "web", "a")
	lease, blocked := turn(t, fetch(t, q))
	if blocked != nil {
		t.Fatal(blocked)
	}
	expire(t, js)
	if err := js.DeleteStream(t.Context(), "DISPATCH_TASKS"); err != nil {
		t.Fatal(err)
	}
	if err := lease.Retake(t.Context()); err == nil || errors.Is(err, worker.ErrLeaseLost) {
		t.Errorf("retake: %v, want that the message cannot be looked for", err)
	}
	if err := lease.Renew(t.Context()); !errors.Is(err, worker.ErrLeaseGone) {
		t.Errorf("renew: %v, want ErrLeaseGone: it must be taken again, with a look", err)
	}
}

// A worker that took the lease, stalled until its own had ended, and only then
// claims the run, must not take it from the one that has the lease again.
func TestAClaimUnderALeaseThatHasEndedIsRefusedOnceTheRunsWorkerHasItsLeaseAgain(t *testing.T) {
	t.Parallel()
	_, js, _ := open(t, queue.Topology{Replicas: 1})
	runs := runsOf(t, js, queue.Topology{Replicas: 1}, "w1")
	mine := leaseOf(t, js, "w1", "a")
	ours, err := runs.Claim(t.Context(), worker.ClaimRequest{TaskID: "a", Fence: mine.Fence()})
	if err != nil {
		t.Fatal(err)
	}
	expire(t, js)
	late := leaseOf(t, js, "w2", "a")
	expire(t, js)
	if err := mine.Retake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ours.Save(t.Context(), func(r *worker.Run) { r.Fence = mine.Fence() }); err != nil {
		t.Fatal(err)
	}
	others := runsOf(t, js, queue.Topology{Replicas: 1}, "w2")
	if _, err := others.Claim(t.Context(), worker.ClaimRequest{TaskID: "a", Fence: late.Fence()}); !errors.Is(err, worker.ErrHeld) {
		t.Errorf("the late claim: %v, want ErrHeld", err)
	}
}

func TestOrphansAreRunsThatNobodyHas(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, q := open(t, topology)
	queued(t, js, topology, "web", "queued")
	queuedAt := fetch(t, q).Message().Subject
	runs := runsOf(t, js, topology, "w1")
	once := runsOf(t, js, topology, "alive")
	for id, c := range map[string]struct {
		runs *queue.Runs
		run  worker.Run
	}{
		"queued":  {runs, worker.Run{Queue: queuedAt, Targets: []string{"web"}}},
		"purged":  {runs, worker.Run{Queue: topology.TaskSubject("deploy-image", "api", "purged"), Targets: []string{"api"}}},
		"leased":  {runs, worker.Run{Targets: []string{"db"}}},
		"killed":  {once, worker.Run{Targets: []string{"cache"}}},
		"waiting": {runs, worker.Run{Targets: []string{"cache"}}},
	} {
		if _, err := c.runs.Claim(t.Context(), worker.ClaimRequest{TaskID: id, New: c.run}); err != nil {
			t.Fatal(err)
		}
	}
	leases := leasesOf(t, js, topology, "alive")
	held := queue.NewOnce(taskOf("leased", "db"), nil, "")
	held.Leases = leases
	if _, blocked := turn(t, fetch(t, held)); blocked != nil {
		t.Fatal(blocked)
	}
	alive(t, leases, nc, "waiting")

	orphanage := queue.NewOrphanage(leases, runs)
	if lead, err := orphanage.Lead(t.Context()); !lead || err != nil {
		t.Fatalf("Lead() = %v, %v", lead, err)
	}
	for other, want := range []bool{true, true, false} {
		others := leasesOf(t, js, topology, fmt.Sprint("other-", other))
		if lead, err := queue.NewOrphanage(others, runs).Lead(t.Context()); lead != want || err != nil {
			t.Errorf("sweeper %d leads: %v, %v, want %v", other+2, lead, err, want)
		}
	}
	if lead, err := orphanage.Lead(t.Context()); !lead || err != nil {
		t.Errorf("the first does not lead any more: %v, %v", lead, err)
	}
	got, err := orphanage.Orphans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signs := map[string]bool{}
	for id, sighting := range got {
		signs[id] = sighting.Sign > 0
		if sighting.Revision == 0 {
			t.Errorf("%s is seen without its record's revision", id)
		}
	}
	wanted := map[string]bool{"purged": false, "leased": true, "killed": false, "waiting": true}
	if diff := cmp.Diff(wanted, signs); diff != "" {
		t.Errorf("runs without a message, and whether somebody has them (-want +got):\n%s", diff)
	}
}

func TestWhoAdoptsARunKeepsItsWorkerFromGoingOn(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, _ := open(t, topology)
	runs := runsOf(t, js, topology, "w1")
	leases := leasesOf(t, js, topology, "w1")
	// The sweeper in a run-once has its name.
	orphanage := queue.NewOrphanage(leases, runs)
	refused := func(revision uint64, want error, what string) {
		t.Helper()
		if _, err := orphanage.Adopt(t.Context(), "once", revision); !errors.Is(err, want) {
			t.Errorf("adopt %s: %v, want %v", what, err, want)
		}
	}
	refused(1, worker.ErrNoRun, "a run that has ended")
	request := worker.ClaimRequest{TaskID: "once", New: worker.Run{Targets: []string{"web", "db"}}}
	if _, err := runs.Claim(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	refused(2, worker.ErrHeld, "a run that was written since")
	once := queue.NewOnce(taskOf("once", "web"), nil, "")
	once.Leases = leases
	stalled, blocked := turn(t, fetch(t, once))
	if blocked != nil {
		t.Fatal(blocked)
	}
	refused(1, worker.ErrHeld, "a run whose worker has its lease")
	next := queue.NewOnce(taskOf("next", "db"), nil, "")
	next.Leases = leases
	nextLease, blocked := turn(t, fetch(t, next))
	if blocked != nil {
		t.Fatal("what was adopted in vain is not free again:", blocked)
	}
	if err := stalled.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	adopted, err := orphanage.Adopt(t.Context(), "once", 1)
	if err != nil {
		t.Fatalf("adopt a run one of whose jobs has its next task: %v", err)
	}
	if err := adopted.Renew(t.Context()); err != nil {
		t.Errorf("renew what was adopted: %v", err)
	}
	if err := stalled.Retake(t.Context()); err == nil {
		t.Error("a worker that came back has its lease again, beside who adopted the run")
	}
	if err := nextLease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := queue.NewOnce(taskOf("once", "db"), nil, "")
	again.Leases = leases
	if _, blocked := turn(t, fetch(t, again)); blocked != nil {
		t.Fatal(blocked)
	}
	if err := adopted.Renew(t.Context()); !errors.Is(err, worker.ErrLeaseLost) {
		t.Errorf("renew what was adopted once the run's worker has another of its jobs: %v, want ErrLeaseLost", err)
	}
	if err := adopted.Release(t.Context()); err != nil {
		t.Error(err)
	}
	alive(t, leases, nc, "once")
	refused(1, worker.ErrHeld, "a run whose run-once has started again")
}

func TestAKilledRunOnceIsFoundWhereThereIsNoQueue(t *testing.T) {
	t.Parallel()
	_, js := connect(t)
	topology := queue.Topology{Replicas: 1}
	if err := queue.EnsureRecords(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	runs := runsOf(t, js, topology, "w1")
	leases := leasesOf(t, js, topology, "w1")
	request := worker.ClaimRequest{TaskID: "killed", New: worker.Run{Targets: []string{"web"}}}
	if _, err := runs.Claim(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	orphanage := queue.NewOrphanage(leases, runs)
	if got, err := orphanage.Orphans(t.Context()); err != nil || got["killed"] != (worker.Sighting{Revision: 1}) {
		t.Errorf("Orphans() = %v, %v, want killed", got, err)
	}
	adopted, err := orphanage.Adopt(t.Context(), "killed", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := adopted.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASweepIsNoAttemptAndTakesNoRunThatWasWrittenSince(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	runs := runsOf(t, js, topology, "w1")
	for _, row := range []struct {
		sweep            uint64
		claims, attempts int
		err              error
	}{
		{sweep: 0, claims: 1, attempts: 1},
		{sweep: 1, claims: 2, attempts: 1},
		{sweep: 1, err: worker.ErrHeld},
		{sweep: 2, claims: 3, attempts: 1},
	} {
		claim, err := runs.Claim(t.Context(), worker.ClaimRequest{TaskID: "a", Sweep: row.sweep})
		if !errors.Is(err, row.err) {
			t.Fatalf("%+v: %v", row, err)
		}
		if err == nil && (claim.Run().Claims != row.claims || claim.Run().Attempts != row.attempts) {
			t.Errorf("%+v: got %d claims and %d attempts", row, claim.Run().Claims, claim.Run().Attempts)
		}
	}
}

func TestATaskOfARunOnceThatAQueueHoldsAsWellHasAMessage(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	_, js, _ := open(t, topology)
	runs := runsOf(t, js, topology, "w1")
	subject := topology.TaskSubject("deploy-image", "web", "a")
	for i, queued := range []string{"", subject, ""} {
		request := worker.ClaimRequest{TaskID: "a", New: worker.Run{Queue: queued, Targets: []string{"web"}}}
		claim, err := runs.Claim(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := claim.Run().Queue, []string{"", subject, subject}[i]; got != want {
			t.Errorf("claim %d: the run is of the message %q, want %q", i+1, got, want)
		}
	}
}

// alive says that the run-once of a task lives until the test ends, and returns
// once that can be seen.
func alive(t *testing.T, leases *queue.Leases, nc *nats.Conn, task string) {
	t.Helper()
	said := make(chan *nats.Msg, 1)
	subscription, err := nc.ChanSubscribe("$KV.dispatch_lease.once."+task, said)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		queue.NewPresence(leases, func() queue.WorkerInfo { return queue.WorkerInfo{ID: "alive", Once: true, Task: task} }, zap.NewNop()).Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = subscription.Unsubscribe()
	})
	select {
	case <-said:
	case <-time.After(5 * time.Second):
		t.Fatal("the worker did not say that it lives")
	}
}

func TestACancelIsHeardAndKept(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Prefix: "staging", Replicas: 1}
	nc, js, _ := open(t, topology)
	heard := make(chan string, 1)
	cancels, err := queue.SubscribeCancels(nc, topology, func(id string) { heard <- id })
	if err != nil {
		t.Fatal(err)
	}
	defer cancels.Close()
	if err := queue.NewReader(js, topology).Cancel(t.Context(), "id-1", "by hand"); err != nil {
		t.Fatal(err)
	}
	select {
	case id := <-heard:
		if id != "id-1" {
			t.Errorf("heard of %q, want id-1", id)
		}
	case <-time.After(5 * time.Second):
		t.Error("the cancel was not heard")
	}
	stream, err := js.Stream(t.Context(), topology.Events())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.GetLastMsgForSubject(t.Context(), "staging.dispatch.cancel.id-1"); err != nil {
		t.Errorf("the cancel is not kept: %v", err)
	}
}

func TestARunIsRespectedOnlyWhereThatIsAsked(t *testing.T) {
	t.Parallel()
	_, one, two := newRuns(t)
	claim(t, one, "id")
	if _, err := two.Claim(t.Context(), worker.ClaimRequest{TaskID: "id", Respect: true}); !errors.Is(err, worker.ErrHeld) {
		t.Errorf("claiming another worker's run: %v, want ErrHeld", err)
	}
	if _, err := one.Claim(t.Context(), worker.ClaimRequest{TaskID: "id", Respect: true}); err != nil {
		t.Errorf("claiming one's own run: %v", err)
	}
	if got := claim(t, two, "id").Run().Claims; got != 3 {
		t.Errorf("claims = %d, want 3: a refused claim counts for nothing", got)
	}
}

func TestAClaimUnderAnEarlierLeaseIsRefused(t *testing.T) {
	t.Parallel()
	_, one, two := newRuns(t)
	if _, err := two.Claim(t.Context(), worker.ClaimRequest{TaskID: "id", Fence: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Claim(t.Context(), worker.ClaimRequest{TaskID: "id", Fence: 5}); !errors.Is(err, worker.ErrHeld) {
		t.Errorf("who stalled between its lease and its claim claimed: %v, want ErrHeld", err)
	}
	later, err := one.Claim(t.Context(), worker.ClaimRequest{TaskID: "id", Fence: 9})
	if err != nil || later.Run().Claims != 2 || later.Run().Fence != 9 {
		t.Errorf("a claim under a later lease: %v", err)
	}
}
