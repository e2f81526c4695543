package desk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// reaching logs lines, reaches an image and a job, and hangs.
func reaching(lines int) step {
	return func(ctx context.Context, _ tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
		rep.Stage(tasks.StageBuild)
		for i := range lines {
			fmt.Fprintf(rep.Stdout(), "line %d\n", i+1)
		}
		reached := tasks.Checkpoint{
			Commit: "c0ffee", Image: &tasks.Image{Name: "reg/web", Digest: "sha256:abc"},
			Registration: &tasks.Registration{JobID: "web", JobVersion: 7},
		}
		if err := at.Keep(ctx, reached); err != nil {
			return tasks.Result{}, err
		}
		rep.Stage(tasks.StageWatch)
		<-ctx.Done()
		return tasks.Result{}, context.Cause(ctx)
	}
}

func TestOneScreenHasAllThatIsKnownOfARunningTask(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 2, map[string]step{"a": reaching(200)})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	f.publishBody(f.topology.TaskSubject("deploy-image", "web", "a"), bodyOf("web", "a"), nats.Header{"traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"}})
	f.eventually("a is watched", func() bool { return f.show("a").Stage == tasks.StageWatch })
	f.eventually("its log is out", func() bool { return len(f.show("a").Log) == 5 && f.show("a").Log[4].Content == "line 200" })
	v := f.show("a")
	if v.Task != "deploy-image" || v.Job != "web" || v.TraceID != trace || v.Queued == nil || v.Started == nil || v.Since == nil {
		t.Errorf("%+v", v)
	}
	if v.Run == nil || v.Run.Attempts != 1 || !v.Run.WorkerLives || v.Run.Worker != "w1" || !v.Run.Announced {
		t.Fatalf("run %+v", v.Run)
	}
	if r := v.Run.Reached; r.Image != "reg/web@sha256:abc" || *r.JobVersion != 7 || r.Commit != "c0ffee" {
		t.Errorf("reached %+v", r)
	}
	if first := v.Log[0]; first.Content != "line 196" || first.Sequence != 196 || first.Phase != "build" {
		t.Errorf("log begins with %+v", first)
	}
	var kinds []string
	for _, e := range v.Events {
		kinds = append(kinds, e.Event)
	}
	if got := strings.Join(kinds, " "); got != "started stage stage" {
		t.Errorf("events: %s", got)
	}
}

func TestTheEndOfALogIsFoundBetweenOtherLogs(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.publish("web", "a")
	say := func(deployment string, sequence int) {
		body := fmt.Sprintf(`{"deploymentId":%q,"logOutput":"stdout","content":"%s %d","sequence":%d,"phase":"build"}`, deployment, deployment, sequence, sequence)
		f.publishBody(prefix+".build.log."+deployment, body, nil)
	}
	for i := range 20 {
		say("dep-a", i+1) // an earlier log of the same deployment
	}
	for i := range 60 {
		say("dep-a", i+1)
		for other := range 10 {
			say("dep-b", 10*i+other+1)
		}
	}
	for i := range 300 {
		say("dep-b", 601+i)
	}
	var got []string
	for _, line := range f.show("a").Log {
		got = append(got, line.Content)
	}
	if want := "dep-a 56,dep-a 57,dep-a 58,dep-a 59,dep-a 60"; strings.Join(got, ",") != want {
		t.Errorf("the last lines: %q, want %s", got, want)
	}
}

func TestAnEndedTaskShowsItsOutcome(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 2, map[string]step{"bad": failing(tasks.ReasonJobRejected, "no such region")})
	f.publish("web", "good")
	f.publish("api", "bad")
	good, bad := f.until("good", desk.StateEnded), f.until("bad", desk.StateEnded)
	if good.Outcome.Status != "succeeded" || good.Outcome.At == nil || good.Text != "has ended: succeeded" {
		t.Errorf("good: %+v", good)
	}
	if o := bad.Outcome; o.Reason != tasks.ReasonJobRejected || o.Stage != tasks.StageRegister || o.Fault != tasks.FaultUser || !strings.Contains(o.Message, "no such region") {
		t.Errorf("bad: %+v", o)
	}
}

func TestUnknownAndInvalidIDs(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	if v := f.show("never"); v.Known() || !strings.Contains(v.Text, "nothing is known of it") {
		t.Errorf("never: %+v", v.Why)
	}
	for _, id := range []string{"", "a.b", "*", ">", "a b", strings.Repeat("x", 129), "ü"} {
		if _, err := f.desk.Show(t.Context(), desk.ShowQuery{ID: id}); err == nil || !strings.Contains(err.Error(), "is no task id") {
			t.Errorf("show %q: %v", id, err)
		}
		if _, err := f.desk.Cancel(t.Context(), id, ""); err == nil || !strings.Contains(err.Error(), "is no task id") {
			t.Errorf("cancel %q: %v", id, err)
		}
		if _, err := f.desk.Letter(t.Context(), id); err == nil || !strings.Contains(err.Error(), "is no task id") {
			t.Errorf("letter %q: %v", id, err)
		}
	}
}

func TestCancelSaysWhatItFound(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 1, map[string]step{"run": hang(tasks.StageBuild), "early": hang(tasks.StageBuild)})
	f.publish("done", "done")
	f.until("done", desk.StateEnded)
	f.publish("web", "run")
	f.until("run", desk.StateRunning)
	f.publish("web", "wait")
	for id, want := range map[string]string{
		"done":  "done: has ended: succeeded; it is left alone",
		"early": "early: not known yet; it is cancelled when it comes",
		"wait":  "wait: waits (behind task run of the same job",
		"run":   "run: runs on worker w1",
	} {
		if id == "run" {
			continue
		}
		got, err := f.desk.Cancel(t.Context(), id, "test")
		if err != nil || !strings.HasPrefix(got.Text, want) || got.Asked == (id == "done") {
			t.Errorf("cancel %s: %+v, %v, want %q", id, got, err, want)
		}
	}
	if v := f.show("early"); v.Known() || v.Cancel == nil || v.Cancel.Why != "test" || !strings.Contains(v.Text, "counts when it comes") {
		t.Errorf("early: %+v", v)
	}
	if got, err := f.desk.Cancel(t.Context(), "run", ""); err != nil || !strings.HasPrefix(got.Text, "run: runs on worker w1") {
		t.Errorf("cancel run: %+v, %v", got, err)
	}
	f.publish("early", "early")
	for _, id := range []string{"run", "wait", "early"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		outcome, err := f.desk.Await(ctx, id)
		cancel()
		if err != nil || outcome.Reason != tasks.ReasonCancelled {
			t.Errorf("%s ended with %+v, %v, want cancelled", id, outcome, err)
		}
	}
	if again, err := f.desk.Cancel(t.Context(), "run", ""); err != nil || again.Asked {
		t.Errorf("cancel run again: %+v, %v", again, err)
	}
}

func TestWorkersAreListedWithWhatTheyHold(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 1, map[string]step{"a": hang(tasks.StageBuild)})
	f.publish("web", "a")
	f.until("a", desk.StateRunning)
	other := f.host("w2", 3)
	other.Version = service.Version{Number: "older"}
	other.Handler = &script{}
	f.run(other)
	view, err := f.desk.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(view.Workers) != 2 || view.Workers[0].ID != "w1" || len(view.Workers[0].Tasks) != 1 || view.Workers[0].Tasks[0] != (desk.Held{TaskID: "a", Job: "web", Queued: true}) {
		t.Errorf("workers %+v", view.Workers)
	}
	if len(view.Warnings) != 1 || view.Warnings[0] != "the workers have different versions: older, test" {
		t.Errorf("warnings %q", view.Warnings)
	}
}

func TestATaskOutsideTheQueueIsShown(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	stop := f.once("once", "dispatch-1700000000-0a1b2c3d", hang(tasks.StageBuild))
	f.until("dispatch-1700000000-0a1b2c3d", desk.StateRunning)
	f.publish("web", "behind")
	if view := f.queue(desk.QueueQuery{}); view.Totals != (desk.Totals{Tasks: 1, Blocked: 1, Outside: 1, Jobs: 1}) {
		t.Errorf("totals %+v", view.Totals)
	}
	if why := f.show("behind").Why; why.Behind != "dispatch-1700000000-0a1b2c3d" || why.Worker != "once" {
		t.Errorf("behind: %+v", why)
	}
	// A run-once that Nomad has started again has another name, and is there.
	f.eventually("the restarted run-once is shown", func() bool {
		f.publishBody("$KV.staging_dispatch_lease.once.dispatch-1700000000-0a1b2c3d", `{"id":"again","once":true}`, nil)
		run := f.show("dispatch-1700000000-0a1b2c3d").Run
		return run != nil && run.Worker == "again" && run.WorkerLives
	})
	stop()
}

// TestTheShapeOfJSON keeps the names that scripts rely on.
func TestTheShapeOfJSON(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 1, map[string]step{"a": reaching(3)})
	f.publish("web", "a")
	f.eventually("a is watched", func() bool { v := f.show("a"); return v.Stage == tasks.StageWatch && len(v.Log) > 0 })
	f.publish("web", "b")
	workers, err := f.desk.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for view, want := range map[any]string{
		&workers: "at workers workers.0.id workers.0.version workers.0.started workers.0.slots workers.0.busy workers.0.seen workers.0.tasks.0.task_id workers.0.tasks.0.job workers.0.tasks.0.queued",
		ptr(f.queue(desk.QueueQuery{})): "totals.tasks totals.runnable totals.blocked totals.retry totals.running totals.outside totals.jobs capacity.workers capacity.slots capacity.busy capacity.free " +
			"oldest.task_id oldest.why.behind jobs.0.job jobs.0.tasks jobs.0.behind jobs.0.first.task_id jobs.0.first.task jobs.0.first.queued jobs.0.first.why.state jobs.0.first.why.text",
		ptr(f.show("a")): "at task_id task job state text since queued started worker stage run.worker run.worker_lives run.attempts run.claims run.handed_back run.lost run.announced run.log_lines " +
			"run.reached.image run.reached.commit run.reached.nomad_job run.reached.job_version events.0.event log.0.content log.0.sequence",
		ptr(f.show("b")): "state cause behind text",
	} {
		body, err := json.Marshal(view)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(body, &tree); err != nil {
			t.Fatal(err)
		}
		for path := range strings.FieldsSeq(want) {
			if !has(tree, strings.Split(path, ".")) {
				t.Errorf("%T has no %s: %s", view, path, body)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

func has(tree any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch v := tree.(type) {
	case map[string]any:
		below, ok := v[path[0]]
		return ok && has(below, path[1:])
	case []any:
		return path[0] == "0" && len(v) > 0 && has(v[0], path[1:])
	}
	return false
}
