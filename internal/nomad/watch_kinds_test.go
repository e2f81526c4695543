package nomad_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestWatchSaysWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metric api.AllocationMetric
		want   string
	}{
		"memory": {
			api.AllocationMetric{NodesEvaluated: 3, NodesExhausted: 3, DimensionExhausted: map[string]int{"memory": 2, "cpu": 1}},
			"no node has room for the app: cpu exhausted on 1 of 3 nodes (asked for 100 MHz), memory exhausted on 2 of 3 nodes (asked for 64 MiB)",
		},
		"constraint": {api.AllocationMetric{NodesEvaluated: 2, NodesFiltered: 2, ConstraintFiltered: map[string]int{"${node.class} regexp gpu": 2}}, `constraint "${node.class} regexp gpu" not met on 2 of 2 nodes`},
		"device":     {api.AllocationMetric{NodesEvaluated: 1, ConstraintFiltered: map[string]int{"missing devices": 1}}, "missing devices on 1 of 1 nodes"},
		"class":      {api.AllocationMetric{NodesEvaluated: 1, ClassFiltered: map[string]int{"small": 1}}, `node class "small" is excluded`},
		"quota":      {api.AllocationMetric{NodesEvaluated: 1, QuotaExhausted: []string{"memory"}}, "quota exhausted: memory"},
		"no node":    {api.AllocationMetric{}, "no node is there for the app"},
		"only nodes": {api.AllocationMetric{NodesEvaluated: 2, NodesExhausted: 2}, "2 of 2 nodes are exhausted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(webJob("service", 1))
			f.setDeployment(reg, "running", "Deployment is running", one)
			f.setEvals(&api.Evaluation{ID: "e", Status: "complete", BlockedEval: "b"},
				&api.Evaluation{ID: "b", Status: "blocked", FailedTGAllocs: map[string]*api.AllocationMetric{"web": &c.metric}})
			_, rep, err := watch(t, f, nomad.Options{}, reg)
			wantFailure(t, err, tasks.ReasonPlacementFailed, c.want)
			wantLines(t, "stdout", rep.stdout(), c.want, "waiting up to")
		})
	}
}

func TestWatchPrefersTheCauseToTheMissingRoom(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setDeployment(reg, "running", "Deployment is running", one)
	f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "failed", ptr(false), dead(0, event("Setup Failure", "no volume"))))
	metric := &api.AllocationMetric{NodesEvaluated: 1, DimensionExhausted: map[string]int{"memory": 1}}
	f.setEvals(&api.Evaluation{ID: "b", Status: "blocked", FailedTGAllocs: map[string]*api.AllocationMetric{"web": metric}})
	_, _, err := watch(t, f, nomad.Options{}, reg)
	wantFailure(t, err, tasks.ReasonUnhealthy, "the node could not set the app up")
}

func TestWatchIgnoresAnOlderVersionsEvaluations(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	metric := &api.AllocationMetric{NodesEvaluated: 1, DimensionExhausted: map[string]int{"memory": 1}}
	old := &api.Evaluation{ID: "old", Status: "blocked", CreateIndex: 2, FailedTGAllocs: map[string]*api.AllocationMetric{"web": metric}}
	reg := f.seed(webJob("service", 1))
	f.change("evaluations", func(uint64) { f.evals["web"] = append(f.evals["web"], old) })
	f.setDeployment(reg, "running", "Deployment is running", one)
	timer := time.AfterFunc(500*time.Millisecond, func() { f.setDeployment(reg, "successful", "", one) })
	defer timer.Stop()
	if _, _, err := watch(t, f, nomad.Options{}, reg); err != nil {
		t.Error(err)
	}
}

func TestWatchGoesOnWhenRoomIsFreed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setDeployment(reg, "running", "Deployment is running", one)
	metric := &api.AllocationMetric{NodesEvaluated: 1, DimensionExhausted: map[string]int{"memory": 1}}
	f.setEvals(&api.Evaluation{ID: "b", Status: "blocked", FailedTGAllocs: map[string]*api.AllocationMetric{"web": metric}})
	client, done, rep := f.client(t, nomad.Options{PlacementGrace: 3 * time.Second}), make(chan error, 1), &reporter{}
	go func() {
		_, err := client.Watch(t.Context(), tasks.Cluster{}, reg, rep)
		done <- err
	}()
	until(t, "the first word of it", func() bool { return strings.Contains(rep.stdout(), "memory exhausted") })
	f.setEvals(&api.Evaluation{ID: "b", Status: "complete"})
	f.setDeployment(reg, "successful", "", one)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWatchKindsWithoutDeployment(t *testing.T) {
	t.Parallel()
	plain := tasks.Registration{JobID: "web"}
	cron := webJob("batch", 1)
	cron.Periodic = &api.PeriodicConfig{Spec: ptr("0 0 * * *")}
	dispatched := webJob("batch", 1)
	dispatched.ParameterizedJob = &api.ParameterizedJobConfig{}
	for name, c := range map[string]struct {
		job    *api.Job
		allocs []*api.AllocationListStub
		reason tasks.Reason
	}{
		"count zero":          {job: webJob("service", 0)},
		"periodic":            {job: cron},
		"parameterized":       {job: dispatched},
		"service up":          {job: webJob("service", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "running", nil, running(0))}},
		"service crash loop":  {job: webJob("service", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "running", nil, running(7, exit("1")))}, reason: tasks.ReasonCrashed},
		"batch done":          {job: webJob("batch", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "complete", nil, &api.TaskState{State: "dead"})}},
		"batch failed":        {job: webJob("batch", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "failed", nil, dead(0, exit("1")))}, reason: tasks.ReasonCrashed},
		"system up":           {job: webJob("system", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "running", nil, running(0)), alloc(plain, "a2", "running", nil, running(0))}},
		"system on no node":   {job: webJob("system", 1), reason: tasks.ReasonPlacementFailed},
		"sysbatch done":       {job: webJob("sysbatch", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "complete", nil, &api.TaskState{State: "dead"})}},
		"system crashed once": {job: webJob("system", 1), allocs: []*api.AllocationListStub{alloc(plain, "a1", "failed", nil, dead(0, exit("2")))}, reason: tasks.ReasonCrashed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(c.job)
			f.setAllocs("web", c.allocs...)
			_, _, err := watch(t, f, nomad.Options{}, reg)
			if c.reason != "" {
				wantFailure(t, err, c.reason)
			} else if err != nil {
				t.Errorf("got %v, want success", err)
			}
		})
	}
}

// TestWatchShowsWhatNomadWritesAfterTheEnd reports the end of a batch before
// its output is in the file, as Nomad does with what it has in its buffer.
func TestWatchShowsWhatNomadWritesAfterTheEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("batch", 1))
	f.setLog("aaaaaaaa-1/web/stdout", "")
	f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "complete", nil, &api.TaskState{State: "dead", StartedAt: time.Unix(1, 0), Events: []*api.TaskEvent{exit("0")}}))
	late := time.AfterFunc(200*time.Millisecond, func() { f.setLog("aaaaaaaa-1/web/stdout", "done\n") })
	defer late.Stop()
	_, rep, err := watch(t, f, nomad.Options{}, reg)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "stdout", rep.stdout(), "alloc aaaaaaaa web: done\n")
}

func TestWatchWaitsForWordOfTheDeployments(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setAllocs("web", alloc(reg, "a1", "running", nil, running(0)))
	f.setDeployment(reg, "failed", "Deployment marked as failed", one)
	late := f.listOf("deployments", "web")
	f.script("GET /v1/job/web/deployments", func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(800 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			reply(w, 1, late)
		case <-r.Context().Done():
		}
	})
	_, _, err := watch(t, f, nomad.Options{}, reg)
	wantFailure(t, err, tasks.ReasonUnhealthy, "by an operator")
}

func TestWatchDoesNotSettleBetweenRestarts(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("system", 1))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for n := range uint64(10) {
			f.setAllocs("web", alloc(reg, "a1", "running", nil, running(n)))
			<-ticker.C
		}
		cancel(tasks.ErrTimeout)
	}()
	_, err := f.client(t, nomad.Options{CrashLoopRestarts: 100, Settle: 600 * time.Millisecond}).Watch(ctx, tasks.Cluster{}, reg, &reporter{})
	<-stop
	if !errors.Is(err, tasks.ErrTimeout) {
		t.Errorf("got %v, want no success between restarts", err)
	}
}

func TestWatchKnowsItsVersion(t *testing.T) {
	t.Parallel()
	t.Run("a newer task's version supersedes", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		reg := f.seed(webJob("service", 1))
		newer := webJob("service", 1)
		newer.Meta["dispatchd.task_id"] = "t2"
		f.put(newer)
		f.setDeployment(tasks.Registration{JobID: "web", JobVersion: 1, ModifyIndex: *newer.JobModifyIndex}, "successful", "", one)
		f.setDeployment(reg, "cancelled", "Cancelled due to newer version of job", one)
		_, _, err := watch(t, f, nomad.Options{}, reg)
		wantFailure(t, err, tasks.ReasonSuperseded, "version 1 of the job took the place of version 0")
	})
	t.Run("a scaled job is still ours", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		reg := f.seed(webJob("service", 1))
		scaled := webJob("service", 3)
		scaled.Meta["dispatchd.task_id"] = "t1"
		f.put(scaled)
		f.setDeployment(reg, "cancelled", "Cancelled due to newer version of job", one)
		f.setDeployment(tasks.Registration{JobID: "web", JobVersion: 1, ModifyIndex: *scaled.JobModifyIndex}, "successful", "", one)
		deployed, _, err := watch(t, f, nomad.Options{}, reg)
		if err != nil || deployed.JobVersion != 1 || deployed.DeploymentID != "dep-1" {
			t.Errorf("got %+v and %v, want version 1", deployed, err)
		}
	})
	t.Run("an end before a newer version counts", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		reg := f.seed(webJob("service", 1))
		f.setDeployment(reg, "successful", "", one)
		f.put(webJob("service", 1))
		if _, _, err := watch(t, f, nomad.Options{}, reg); err != nil {
			t.Error(err)
		}
	})
	t.Run("a stopped job", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		reg := f.seed(webJob("batch", 1))
		stopped := webJob("batch", 1)
		stopped.Stop = ptr(true)
		f.put(stopped)
		_, _, err := watch(t, f, nomad.Options{}, reg)
		wantFailure(t, err, tasks.ReasonJobStopped, "job web: the job was stopped")
	})
	t.Run("a newer version of a job without deployments", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		reg := f.seed(webJob("batch", 1))
		f.put(webJob("batch", 1))
		_, _, err := watch(t, f, nomad.Options{}, reg)
		wantFailure(t, err, tasks.ReasonSuperseded)
	})
	t.Run("a version that Nomad has forgotten", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		f.put(webJob("batch", 1))
		_, _, err := watch(t, f, nomad.Options{}, tasks.Registration{JobID: "web", ModifyIndex: 3})
		wantFailure(t, err, tasks.ReasonSuperseded)
	})
	t.Run("a removed job", func(t *testing.T) {
		t.Parallel()
		_, _, err := watch(t, newFake(t), nomad.Options{}, tasks.Registration{JobID: "web"})
		wantFailure(t, err, tasks.ReasonJobStopped, "was removed")
	})
}
