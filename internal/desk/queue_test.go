package desk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func (f *floor) queue(q desk.QueueQuery) desk.QueueView {
	f.t.Helper()
	if q.Limit == 0 {
		q.Limit = 50
	}
	view, err := f.desk.Queue(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	return view
}

func TestEachTaskOfTheQueueSaysWhyItIsWhereItIs(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 2, map[string]step{
		"web-1": hang(tasks.StageBuild), "api-1": failing(tasks.ReasonNomadDown, "no leader"), "big-1": hang(tasks.StageWatch),
	})
	f.publish("api", "api-1")
	f.until("api-1", desk.StateRetry)
	f.publish("web", "web-1")
	f.publish("big", "big-1")
	f.until("web-1", desk.StateRunning)
	f.until("big-1", desk.StateRunning)
	f.publish("web", "web-2")
	f.publish("api", "api-2")
	f.publish("new", "new-1")
	if got := f.queue(desk.QueueQuery{}).Capacity; got != (desk.Capacity{Workers: 1, Slots: 2, Busy: 2}) {
		t.Errorf("capacity %+v, want what the leases say before the worker does", got)
	}
	f.eventually("the stage is known", func() bool { return f.show("web-1").Stage == tasks.StageBuild })

	view := f.queue(desk.QueueQuery{})
	want := desk.Totals{Tasks: 6, Runnable: 1, Blocked: 2, Retry: 1, Running: 2, Jobs: 4}
	if view.Totals != want {
		t.Errorf("totals %+v, want %+v", view.Totals, want)
	}
	if view.Oldest == nil || view.Oldest.TaskID != "api-1" {
		t.Errorf("oldest %+v, want api-1", view.Oldest)
	}
	var jobs []string
	for _, j := range view.Jobs {
		jobs = append(jobs, fmt.Sprintf("%s/%s/%s+%d", j.Job, j.First.TaskID, j.First.Why.State, j.Behind))
	}
	if got, want := strings.Join(jobs, " "), "api/api-1/retry+1 web/web-1/running+1 big/big-1/running+0 new/new-1/runnable+0"; got != want {
		t.Errorf("jobs: %s, want %s", got, want)
	}
	for id, want := range map[string]desk.Why{
		"web-1": {State: desk.StateRunning, Worker: "w1", Stage: tasks.StageBuild, Text: "runs on worker w1, stage build"},
		"web-2": {State: desk.StateBlocked, Cause: desk.CauseBehind, Behind: "web-1", Worker: "w1", Stage: tasks.StageBuild, Text: "behind task web-1 of the same job, which runs on worker w1, stage build"},
		"new-1": {State: desk.StateRunnable, Cause: desk.CauseNoFreeSlot, Text: "no free slot: all 2 are busy"},
	} {
		if got := f.show(id).Why; got != want {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
	api1, api2 := f.show("api-1").Why, f.show("api-2").Why
	if api1.Cause != desk.CauseHandedBack || api1.Until == nil || api1.Reason != tasks.ReasonNomadDown || !strings.Contains(api1.Text, "no leader") {
		t.Errorf("api-1: %+v, want when it comes again and why", api1)
	}
	if wait := time.Until(*api1.Until); wait < -time.Minute || wait > 20*time.Second {
		t.Errorf("api-1 comes again in %s, want about 15 s", wait)
	}
	if api2.Cause != desk.CauseBehind || api2.Behind != "api-1" || api2.Reason != tasks.ReasonNomadDown || !strings.Contains(api2.Text, "which waits too") {
		t.Errorf("api-2: %+v, want it behind api-1 and why that waits", api2)
	}
	rows := f.queue(desk.QueueQuery{Job: "web"}).Tasks
	if len(rows) != 2 || rows[0].TaskID != "web-1" || rows[1].Why.Behind != "web-1" {
		t.Errorf("the tasks of web: %+v", rows)
	}
}

func TestWithoutWorkersTheQueueSaysSo(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.publish("web", "a")
	f.publish("web", "b")
	f.publishBody(prefix+".dispatch.task.what", "{}", nil)
	view := f.queue(desk.QueueQuery{})
	if want := (desk.Totals{Tasks: 3, Runnable: 2, Blocked: 1, Jobs: 2}); view.Totals != want {
		t.Errorf("totals %+v, want %+v", view.Totals, want)
	}
	if len(view.Jobs) != 2 || view.Jobs[0].First.Why.Cause != desk.CauseNoWorker || view.Jobs[1].First.Job != prefix+".dispatch.task.what" {
		t.Errorf("jobs %+v", view.Jobs)
	}
	if len(view.Warnings) != 1 || !strings.Contains(view.Warnings[0], "no worker of the service lives") {
		t.Errorf("warnings %q", view.Warnings)
	}
	if why := f.show("b").Why; why.Behind != "a" || why.Text != "behind task a of the same job, which waits too: no worker lives: start `dispatchd run`" {
		t.Errorf("b: %+v", why)
	}
}

func TestOddKeysInTheBucketsHideNothing(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.publish("web", "a")
	f.publish("api", "b")
	bucket := func(name string) jetstream.KeyValue {
		kv, err := f.js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	runs, leases := bucket(f.topology.Runs()), bucket(f.topology.Leases())
	for _, deleted := range []struct {
		bucket jetstream.KeyValue
		key    string
	}{{runs, "a"}, {leases, queue.TargetKey("web")}} {
		if err := deleted.bucket.Delete(t.Context(), deleted.key); err != nil {
			t.Fatal(err)
		}
	}
	for _, odd := range []string{queue.TargetKey("api"), queue.WorkerKey("w9")} {
		if _, err := leases.Put(t.Context(), odd, []byte("oops")); err != nil {
			t.Fatal(err)
		}
	}
	view := f.queue(desk.QueueQuery{})
	if view.Totals.Tasks != 2 || view.Totals.Running != 0 {
		t.Errorf("totals %+v, want two tasks that wait", view.Totals)
	}
	if text := strings.Join(view.Warnings, "\n"); !strings.Contains(text, queue.TargetKey("api")) || !strings.Contains(text, queue.WorkerKey("w9")) {
		t.Errorf("warnings %q, want the odd keys named", view.Warnings)
	}
	for _, id := range []string{"a", "b"} {
		if got := f.show(id); got.State != desk.StateRunnable {
			t.Errorf("%s is %s (%s), want runnable", id, got.State, got.Text)
		}
	}
}

func TestWhereNothingCanBeToldTheTasksSaySo(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	gate := make(chan struct{})
	f.work("w1", 2, map[string]step{"a": func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
		<-gate
		return tasks.Result{}, nil
	}})
	f.publish("web", "a")
	f.claimed("a")
	if err := f.js.DeleteStream(t.Context(), "DEPLOYMENTS"); err != nil {
		t.Fatal(err)
	}
	close(gate)
	f.publish("api", "b")
	f.publish("api", "c")
	for id, state := range map[string]desk.State{"a": desk.StateEnding, "b": desk.StateRunnable, "c": desk.StateBlocked} {
		f.eventually(id+" says why it waits", func() bool {
			why := f.show(id).Why
			return why.State == state && strings.Contains(why.Text, "no stream covers "+prefix+".deployment.status.changed, ")
		})
	}
	// Each has the lease for a moment whenever it is delivered.
	f.eventually("the queue says so, too", func() bool {
		return slices.ContainsFunc(f.queue(desk.QueueQuery{}).Jobs, func(j desk.JobRow) bool {
			return j.First.TaskID == "b" && j.First.Why.Cause == desk.CauseNoStream
		})
	})
	if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DEPLOYMENTS", Subjects: []string{prefix + ".deployment.>", prefix + ".job.destroyed"}}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		f.until(id, desk.StateEnded)
	}
}

func TestWithoutAnyWorkerNothingIsPromisedWithinAMinute(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	stop := f.work("w1", 2, map[string]step{"retry": failing(tasks.ReasonNomadDown, "no leader"), "hung": hang(tasks.StageBuild)})
	f.publish("web", "hung")
	f.publish("api", "retry")
	f.until("retry", desk.StateRetry)
	f.claimed("hung")
	stop()
	f.publishBody("$KV.staging_dispatch_run.gone", `{"worker":"w9","claims":1,"targets":["gone"]}`, nil)
	f.publish("gone", "gone")
	if got := f.show("gone"); got.Cause != desk.CauseWorkerLost || !strings.Contains(got.Text, "once a worker lives") {
		t.Errorf("gone: %+v, want that no worker lives", got.Why)
	}
	for id, want := range map[string]desk.Cause{"retry": desk.CauseHandedBack, "hung": desk.CauseHandedBack} {
		view := f.show(id)
		if view.Cause != want || !strings.Contains(view.Text, "no worker lives") || strings.Contains(view.Text, "within a minute") {
			t.Errorf("%s: %+v, want that no worker lives to take it", id, view.Why)
		}
		if view.Since == nil || !view.Since.After(*view.Queued) {
			t.Errorf("%s: since %v, want when it came back", id, view.Since)
		}
	}
	if view := f.queue(desk.QueueQuery{Job: "api"}); view.Jobs != nil || len(view.Tasks) != 1 {
		t.Errorf("of one job: %+v, want its task alone", view)
	}
}

// TestFiftyThousandTasksCostFewRequests counts what a look costs, since time on a
// shared machine says little.
func TestFiftyThousandTasksCostFewRequests(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	const tasksQueued = 50_000
	for i := range tasksQueued {
		job := "web"
		if i%10 == 9 {
			job = fmt.Sprintf("job-%d", i%3000)
		}
		if err := f.nc.Publish(f.topology.TaskSubject("deploy-image", job, fmt.Sprintf("t-%d", i)), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	f.eventually("the stream has them all", func() bool {
		stream, err := f.js.Stream(t.Context(), f.topology.Tasks())
		return err == nil && stream.CachedInfo().State.Msgs == tasksQueued
	})
	nc, js := f.connect()
	looker := desk.New(nc, js, desk.Options{Topology: f.topology, Subjects: events.NewSubjects(prefix, "")})
	for _, q := range []desk.QueueQuery{{Limit: 50}, {Limit: 50, Job: "web"}} {
		before, began := nc.Stats().OutMsgs, time.Now()
		view, err := looker.Queue(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		requests, took := nc.Stats().OutMsgs-before, time.Since(began)
		t.Logf("job %q: %d requests in %s", q.Job, requests, took)
		if view.Totals.Tasks != tasksQueued || view.Totals.Jobs != 301 || view.Totals.Runnable != 301 || view.Totals.Blocked != tasksQueued-301 {
			t.Errorf("totals %+v", view.Totals)
		}
		if requests > 200 {
			t.Errorf("it took %d requests, want at most 200", requests)
		}
		if took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if q.Job == "" && (len(view.Jobs) != 50 || view.MoreJobs != 251 || view.Jobs[0].Job != "web") {
			t.Errorf("%d jobs and %d more, the first %+v", len(view.Jobs), view.MoreJobs, view.Jobs[0])
		}
		if q.Job != "" && (len(view.Tasks) != 50 || view.MoreTasks != 45_000-50 || view.Tasks[49].Why.Behind != "t-0") {
			t.Errorf("%d tasks and %d more", len(view.Tasks), view.MoreTasks)
		}
	}
}

func TestWhereNothingWasEverRunOneSentenceSaysSo(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	look := map[string]func() error{
		"queue":   func() error { _, err := f.desk.Queue(t.Context(), desk.QueueQuery{Limit: 1}); return err },
		"show":    func() error { _, err := f.desk.Show(t.Context(), desk.ShowQuery{ID: "a"}); return err },
		"workers": func() error { _, err := f.desk.Workers(t.Context()); return err },
		"letters": func() error { _, err := f.desk.Letters(t.Context(), 10); return err },
		"letter":  func() error { _, err := f.desk.Letter(t.Context(), "a"); return err },
		"cancel":  func() error { _, err := f.desk.Cancel(t.Context(), "a", ""); return err },
	}
	for name, do := range look {
		var missing *desk.NoStreamError
		if err := do(); !errors.As(err, &missing) || !strings.Contains(err.Error(), "nothing was ever run here") {
			t.Errorf("%s: %v, want that nothing was ever run", name, err)
		}
	}
	names := f.js.StreamNames(t.Context())
	for name := range names.Name() {
		if strings.Contains(name, "DISPATCH") || strings.Contains(name, "KV_") {
			t.Errorf("looking made the stream %s", name)
		}
	}
}

func TestLookingMakesNoConsumerAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.publish("web", "a")
	before := f.state()
	f.queue(desk.QueueQuery{})
	f.show("a")
	if _, err := f.desk.Workers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.desk.Letters(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if after := f.state(); after != before {
		t.Errorf("after looking: %s, before: %s", after, before)
	}
}

// state is what every stream holds.
func (f *floor) state() string {
	f.t.Helper()
	var all []string
	for info := range f.js.ListStreams(f.t.Context()).Info() {
		all = append(all, fmt.Sprintf("%s %d %d %d", info.Config.Name, info.State.Msgs, info.State.LastSeq, info.State.Consumers))
	}
	return strings.Join(all, "; ")
}
