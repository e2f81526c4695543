package nomad_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// watch follows the registration until it ends or the test's limit does.
func watch(t *testing.T, f *fake, options nomad.Options, reg tasks.Registration) (tasks.Deployed, *reporter, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 8*time.Second, errors.New("the watch did not end"))
	defer cancel()
	rep := &reporter{}
	deployed, err := f.client(t, options).Watch(ctx, tasks.Cluster{}, reg, rep)
	if ctx.Err() != nil {
		t.Errorf("the watch ended with its limit only, with %v", err)
	}
	if rep.split > 0 {
		t.Errorf("%d writes were no whole line", rep.split)
	}
	return deployed, rep, err
}

var one = api.DeploymentState{DesiredTotal: 1}

func TestWatchReturnsWhenTheDeploymentSucceeds(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setDeployment(reg, "running", "Deployment is running", one)
	f.logs["aaaaaaaa-1/web/stdout"] = "first line\nno newline at the end"
	f.logs["aaaaaaaa-1/web/stderr"] = "complaint\n"
	client, done := f.client(t, nomad.Options{}), make(chan error, 1)
	rep := &reporter{}
	var deployed tasks.Deployed
	go func() {
		var err error
		deployed, err = client.Watch(t.Context(), tasks.Cluster{}, reg, rep)
		done <- err
	}()
	f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "running", nil, running(0, event("Started", "Task started by client"))))
	until(t, "the app's output", func() bool { return strings.Contains(rep.stdout(), "first line") })
	select {
	case err := <-done:
		t.Fatalf("the watch ended before the deployment: %v", err)
	default:
	}
	f.setDeployment(reg, "successful", "Deployment completed successfully", api.DeploymentState{DesiredTotal: 1, HealthyAllocs: 1})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if deployed.DeploymentID != "dep-0" || len(deployed.Allocations) != 1 {
		t.Errorf("got %+v", deployed)
	}
	wantLines(t, "stdout", rep.stdout(), "alloc aaaaaaaa web: Started: Task started by client\n",
		"alloc aaaaaaaa web: first line\n", "alloc aaaaaaaa web: no newline at the end\n", "1 of 1 allocations healthy")
	wantLines(t, "stderr", rep.stderr(), "alloc aaaaaaaa web: complaint\n")
	if n := strings.Count(rep.stdout(), "first line"); n != 1 {
		t.Errorf("the app's line was shown %d times, want once", n)
	}
}

// until polls a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("waited 5 s for %s", what)
		}
	}
}

func TestWatchSaysWhyADeploymentFailed(t *testing.T) {
	t.Parallel()
	no := ptr(false)
	for name, c := range map[string]struct {
		state  *api.TaskState
		checks api.AllocCheckStatuses
		reason tasks.Reason
		want   string
	}{
		"an exit code": {
			state:  dead(2, event("Started", ""), exit("3"), event("Not Restarting", "Exceeded allowed attempts")),
			reason: tasks.ReasonCrashed, want: "job web: the app crashed: exit code 3 (2 restarts)",
		},
		"exit code 0": {state: dead(1, exit("0")), reason: tasks.ReasonCrashed, want: "the app ended by itself: exit code 0 (1 restart)"},
		"a signal": {
			state:  dead(0, event("Terminated", "Exit Code: 0, Signal: 11", "exit_code", "0", "signal", "11")),
			reason: tasks.ReasonCrashed, want: "the app crashed: signal 11",
		},
		"out of memory": {
			state:  dead(1, event("Terminated", `Exit Code: 137, Exit Message: "OOM Killed"`, "exit_code", "137", "oom_killed", "true")),
			reason: tasks.ReasonAppOOM, want: "the app ran out of memory: its limit is 64 MiB (1 restart)",
		},
		"an image that is not there": {
			state: dead(0, event("Driver Failure", "Failed to pull `registry.test/web@sha256:1`: API error (404): manifest for x not found: manifest unknown")),
			// The message is our own words; Nomad's are in the log.
			reason: tasks.ReasonImagePullFailed, want: "the image registry.test/web@sha256:1 could not be pulled: it does not exist in its registry",
		},
		"a registry that is away": {
			state:  dead(0, event("Driver Failure", "Failed to pull `x`: API error (500): Get https://…: connect: connection refused")),
			reason: tasks.ReasonImagePullFailed, want: "its registry cannot be reached",
		},
		"a bad entrypoint": {
			state:  dead(0, event("Driver Failure", "Failed to start container 1: API error (400): OCI runtime create failed: no such file or directory")),
			reason: tasks.ReasonCrashed, want: "the app could not be started: its command does not exist",
		},
		"a bad driver configuration": {
			state:  dead(0, event("Failed Validation", "failed to parse config")),
			reason: tasks.ReasonJobRejected, want: "refused the task's configuration",
		},
		"a failing check": {
			state:  running(0, event("Alloc Unhealthy", "Task not running for min_healthy_time of 1s by healthy_deadline of 10s")),
			checks: api.AllocCheckStatuses{"1": {Check: "alive", Service: "web", Mode: "healthiness", Status: "failure", StatusCode: 500}},
			reason: tasks.ReasonUnhealthy, want: `health check "alive" on port http failed: status 500`,
		},
		"a check without a name": {
			state:  running(0),
			checks: api.AllocCheckStatuses{"1": {Check: `service: "web" check`, Service: "web", Status: "failure", Output: "dial: connection refused"}},
			reason: tasks.ReasonUnhealthy, want: `health check "web" on port http failed: connection refused`,
		},
		"an image that does not come": {
			state: &api.TaskState{State: "pending", Events: []*api.TaskEvent{
				event("Driver", "Downloading image"), event("Alloc Unhealthy", "Task not running by healthy_deadline of 15s"),
			}},
			checks: api.AllocCheckStatuses{"1": {Check: "alive", Service: "web", Status: "failure", Output: "connection refused"}},
			reason: tasks.ReasonImagePullFailed, want: "job web: the image registry.test/web@sha256:1 was still being pulled",
		},
		"an image that came": {
			state:  running(0, event("Driver", "Downloading image"), event("Started", "Task started by client")),
			checks: api.AllocCheckStatuses{"1": {Check: "alive", Service: "web", Status: "failure", StatusCode: 503}},
			reason: tasks.ReasonUnhealthy, want: `health check "alive" on port http failed: status 503`,
		},
		"a missing secret": {
			state:  &api.TaskState{State: "pending", Events: []*api.TaskEvent{event("Template", "Missing: vault.read(kv/data/x)")}},
			reason: tasks.ReasonUnhealthy, want: "waits for secrets",
		},
		"a kill is no crash": {
			state:  dead(0, event("Alloc Unhealthy", "Task not running by healthy_deadline of 5m0s"), event("Killing", "Sent interrupt"), exit("143")),
			reason: tasks.ReasonUnhealthy, want: "the app did not start before its healthy deadline",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(webJob("service", 1))
			f.checks["aaaaaaaa-1"] = c.checks
			f.setDeployment(reg, "failed", "Failed due to unhealthy allocations", one)
			f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "running", no, c.state))
			_, _, err := watch(t, f, nomad.Options{}, reg)
			wantFailure(t, err, c.reason, c.want)
		})
	}
}

func TestWatchNamesTheTaskAmongSeveral(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	job := webJob("service", 1)
	job.TaskGroups[0].Tasks = append(job.TaskGroups[0].Tasks, &api.Task{Name: "init", Lifecycle: &api.TaskLifecycle{Hook: "prestart"}})
	reg := f.seed(job)
	stub := alloc(reg, "aaaaaaaa-1", "failed", ptr(false), &api.TaskState{State: "dead"})
	stub.TaskStates["init"] = dead(0, exit("0"), exit("9"))
	stub.TaskStates["web"].Events = []*api.TaskEvent{event("Sibling Task Failed", "Task's sibling init failed")}
	f.setAllocs("web", stub)
	f.setDeployment(reg, "failed", "Failed due to unhealthy allocations", one)
	_, _, err := watch(t, f, nomad.Options{}, reg)
	wantFailure(t, err, tasks.ReasonCrashed, "the app crashed: exit code 9 (task init)")
}

// The four lists are not read at one moment: the deployment's end may be
// known before what its allocations did.
func TestWatchReadsTheAllocationsAgainBeforeItExplains(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setDeployment(reg, "failed", "Failed due to unhealthy allocations", one)
	var asked atomic.Int32
	f.script("GET /v1/job/web/allocations", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			reply(w, 1, []any{})
			return
		}
		reply(w, 2, []any{alloc(reg, "aaaaaaaa-1", "failed", ptr(false), dead(0, exit("3")))})
	})
	_, _, err := watch(t, f, nomad.Options{}, reg)
	wantFailure(t, err, tasks.ReasonCrashed, "exit code 3")
}

func TestWatchReadsTheDeploymentsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status, description string
		reason              tasks.Reason
		want                string
		rolledBack          *uint64
	}{
		"rolled back": {"failed", "Failed due to unhealthy allocations - rolling back to job version 4", tasks.ReasonRolledBack, "Nomad went back to version 4", ptr(uint64(4))},
		"no version to go back to": {
			"failed", "Failed due to unhealthy allocations - no stable job version to auto revert to", tasks.ReasonUnhealthy, "did not become healthy", nil,
		},
		"same specification":   {"failed", "Failed due to unhealthy allocations - not rolling back to stable job version 4 as current job has same specification", tasks.ReasonUnhealthy, "", nil},
		"progress deadline":    {"failed", "Failed due to progress deadline", tasks.ReasonUnhealthy, "progress deadline", nil},
		"failed by hand":       {"failed", "Deployment marked as failed", tasks.ReasonUnhealthy, "by an operator", nil},
		"job stopped":          {"cancelled", "Cancelled because job is stopped", tasks.ReasonJobStopped, "was stopped", nil},
		"canaries want a hand": {"running", "Deployment is running but requires manual promotion", tasks.ReasonNeedsPromotion, "promotion by hand", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(webJob("service", 1))
			f.setDeployment(reg, c.status, c.description, api.DeploymentState{DesiredTotal: 1, DesiredCanaries: 1, HealthyAllocs: 1})
			_, _, err := watch(t, f, nomad.Options{}, reg)
			failure := wantFailure(t, err, c.reason, c.want)
			if deref(failure.RolledBackTo) != deref(c.rolledBack) || (failure.RolledBackTo == nil) != (c.rolledBack == nil) {
				t.Errorf("got RolledBackTo %v, want %v", failure.RolledBackTo, c.rolledBack)
			}
		})
	}
}

func TestWatchFailsAHopelessDeployment(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setDeployment(reg, "running", "Deployment is running", one)
	f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "failed", ptr(false), dead(3, exit("3"))))
	_, _, err := watch(t, f, nomad.Options{}, reg)
	wantFailure(t, err, tasks.ReasonCrashed, "exit code 3 (3 restarts)")
	if f.deployments["web"][0].Status != "failed" {
		t.Errorf("the deployment is %s, want failed", f.deployments["web"][0].Status)
	}
}

func TestWatchLetsNomadTryAgain(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]*api.AllocationListStub{
		"one of two crashed": alloc(tasks.Registration{JobID: "web"}, "bbbbbbbb-2", "running", ptr(true), running(0)),
		"a node was lost":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(webJob("service", 2))
			f.setDeployment(reg, "running", "Deployment is running", one)
			if second != nil {
				f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "failed", ptr(false), dead(3, exit("3"))), second)
			} else {
				f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "lost", ptr(false), running(0)))
			}
			timer := time.AfterFunc(600*time.Millisecond, func() { f.setDeployment(reg, "successful", "", one) })
			defer timer.Stop()
			if _, _, err := watch(t, f, nomad.Options{}, reg); err != nil {
				t.Errorf("got %v, want the deployment's own end", err)
			}
		})
	}
}
