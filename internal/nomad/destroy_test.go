package nomad_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func jobNamed(id, parent string) *api.Job {
	job := webJob("batch", 1)
	job.ID, job.Name, job.ParentID = &id, &id, &parent
	return job
}

func TestDestroyWaitsForTheAllocations(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setAllocs("web", alloc(reg, "a1", "running", nil, running(0)))
	done, rep := make(chan error, 1), &reporter{}
	client := f.client(t, nomad.Options{})
	go func() { done <- client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, rep) }()
	until(t, "the stop", func() bool { return strings.Contains(rep.stdout(), "1 allocations have not ended yet") })
	f.mu.Lock()
	stopped := len(f.jobs["web"]) > 0 && deref(f.jobs["web"][0].Stop)
	f.mu.Unlock()
	if !stopped {
		t.Error("the job was purged, or not stopped, while its allocation runs")
	}
	// What the servers want is not what the node does.
	asked := alloc(reg, "a1", "running", nil, running(0))
	asked.DesiredStatus = "stop"
	f.setAllocs("web", asked)
	select {
	case err := <-done:
		t.Fatalf("it ended with %v while the allocation runs", err)
	case <-time.After(400 * time.Millisecond):
	}
	f.setAllocs("web", alloc(reg, "a1", "complete", nil, running(0)))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(f.jobs) != 0 {
		t.Errorf("got jobs %v, want none", f.jobs)
	}
	if err := client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, rep); err != nil {
		t.Errorf("destroying what is gone: %v", err)
	}
}

func TestDestroyDoesNotWaitForADelayedReschedule(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setAllocs("web", alloc(reg, "a1", "failed", nil, running(0)))
	f.change("evaluations", func(uint64) {
		f.evals["web"] = append(f.evals["web"], &api.Evaluation{ID: "later", JobID: "web", Status: api.EvalStatusPending, WaitUntil: time.Now().Add(time.Hour)})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := f.client(t, nomad.Options{}).Destroy(ctx, tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{}); err != nil {
		t.Fatal(err)
	}
}

func TestDestroyTakesTheChildrenAndNoOther(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	parent := jobNamed("web", "")
	parent.Periodic = &api.PeriodicConfig{Spec: ptr("* * * * *")}
	for _, job := range []*api.Job{
		parent, jobNamed("web/periodic-1", "web"), jobNamed("web/dispatch-1-ab", "web"),
		jobNamed("web-2", ""), jobNamed("web/periodic-9", "other"), jobNamed("web/else", "web"),
	} {
		f.put(job)
	}
	if err := f.client(t, nomad.Options{}).Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{
		"web": false, "web/periodic-1": false, "web/dispatch-1-ab": false, "web-2": true, "web/periodic-9": true, "web/else": true,
	} {
		if _, got := f.jobs[id]; got != want {
			t.Errorf("job %s exists: %v, want %v", id, got, want)
		}
	}
}

func TestDestroySaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setAllocs("web", alloc(reg, "abcdef12-3", "unknown", nil, running(0)))
	err := f.client(t, nomad.Options{DestroyTimeout: 100 * time.Millisecond}).Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{})
	wantFailure(t, err, tasks.ReasonDestroyIncomplete, "job web: 1 allocations did not end", "abcdef12 on node node is unknown")
	if len(f.jobs["web"]) == 0 {
		t.Error("the job was purged although its allocation is left")
	}
}

func TestDestroyWhenNomadRefuses(t *testing.T) {
	t.Parallel()
	t.Run("the stopped spec", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		f.seed(webJob("service", 1))
		f.script("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "1 error occurred:\n\t* Vault used in the job but missing Vault token", http.StatusInternalServerError)
		})
		if err := f.client(t, nomad.Options{}).Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{}); err != nil || len(f.jobs) != 0 {
			t.Errorf("got %v and jobs %v, want the plain stop to do it", err, f.jobs)
		}
	})
	t.Run("the token", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		f.seed(webJob("service", 1))
		f.script("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) })
		err := f.client(t, nomad.Options{}).Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{})
		wantFailure(t, err, tasks.ReasonNomadAuth, "job web")
	})
	t.Run("the list of children", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		f.script("GET /v1/jobs", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) })
		client := f.client(t, nomad.Options{})
		if err := client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "gone"}, &reporter{}); err != nil {
			t.Errorf("a job that does not exist: %v", err)
		}
		parent := webJob("batch", 1)
		parent.ParameterizedJob = &api.ParameterizedJobConfig{}
		f.seed(parent)
		err := client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{})
		wantFailure(t, err, tasks.ReasonNomadAuth)
	})
}

func TestDestroyLeavesAJobThatCameBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.seed(webJob("service", 1))
	f.script("GET /v1/job/web/allocations", func(w http.ResponseWriter, _ *http.Request) {
		f.put(webJob("service", 1))
		reply(w, 1, []any{})
	})
	err := f.client(t, nomad.Options{}).Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{})
	wantFailure(t, err, tasks.ReasonJobConflict, "registered again")
}
