//go:build e2e

package nomad_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// These tests need a Nomad with raw_exec at DISPATCHD_TEST_NOMAD. With ACLs on,
// NOMAD_TOKEN needs submit-job, read-job and read-logs, and list-jobs for the
// destroy of children.

// bench is a client of ours and a raw one on the real Nomad.
type bench struct {
	address string
	client  *nomad.Client
	raw     *api.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	address := os.Getenv("DISPATCHD_TEST_NOMAD")
	if address == "" {
		t.Skip("DISPATCHD_TEST_NOMAD is not set: no Nomad to test with")
	}
	client, err := nomad.New(nomad.Options{Address: address, Settle: 3 * time.Second, UnhealthyGrace: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	config := api.DefaultConfig()
	config.Address = address
	raw, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); raw.Close() })
	return &bench{address: address, client: client, raw: raw}
}

// id makes a job id of the test's own: a purged id can place nothing for a while.
func (b *bench) id(t *testing.T, name string) string {
	t.Helper()
	id := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.client.Destroy(ctx, tasks.Cluster{}, tasks.DestroySpec{JobID: id}, &reporter{}); err != nil {
			t.Errorf("clean up %s: %v", id, err)
		}
	})
	return id
}

// deploy registers and watches, within a limit.
func (b *bench) deploy(t *testing.T, id, task, hcl string) (tasks.Registration, tasks.Deployed, *reporter, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the test's limit"))
	defer cancel()
	reg, err := b.client.Register(ctx, tasks.Cluster{}, tasks.JobSpec{HCL: []byte(hcl), JobID: id, TaskID: task})
	if err != nil {
		t.Fatalf("register %s: %v (%v)", id, err, tasks.AsFailure(err).Err)
	}
	rep := &reporter{}
	deployed, err := b.client.Watch(ctx, tasks.Cluster{}, reg, rep)
	t.Logf("%s: err %v\n%s\n--\n%s", id, err, rep.stdout(), rep.stderr())
	return reg, deployed, rep, err
}

const slowReschedule = `reschedule {
  attempts  = 0
  unlimited = true
  delay     = "5s"
}`

const noReschedule = `reschedule {
  attempts  = 0
  unlimited = false
}`

// service is a raw_exec service that runs a shell script.
func service(id, script, extra string) string {
	return fmt.Sprintf(`job %q {
  datacenters = ["dc1"]
  group "web" {
    restart {
      attempts = 1
      delay    = "1s"
      interval = "1m"
      mode     = "fail"
    }
    update {
      min_healthy_time  = "2s"
      healthy_deadline  = "15s"
      progress_deadline = "60s"
      auto_revert       = true
    }
    task "web" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", %q]
      }
      kill_timeout = "1s"
      resources {
        cpu    = 50
        memory = 32
      }
    }
    %s
  }
}
`, id, script, extra)
}

const runs = "echo hello from the app; echo to stderr >&2; exec sleep 600"

func TestRealHealthyThenSameTaskThenDestroy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "healthy")
	reg, deployed, rep, err := b.deploy(t, id, "task-1", service(id, runs, ""))
	if err != nil {
		t.Fatal(err)
	}
	if len(deployed.Allocations) != 1 || deployed.DeploymentID == "" || reg.Resumed || reg.EvalID == "" {
		t.Errorf("got %+v after %+v", deployed, reg)
	}
	wantLines(t, "stdout", rep.stdout(), "web: hello from the app", "web: Started: ")
	wantLines(t, "stderr", rep.stderr(), "web: to stderr")

	again, second, _, err := b.deploy(t, id, "task-1", service(id, runs, ""))
	if err != nil || !again.Resumed || again.JobVersion != reg.JobVersion || second.DeploymentID != deployed.DeploymentID {
		t.Errorf("the same task again: got %+v, %+v and %v, want the first one's version", again, second, err)
	}
	next, third, _, err := b.deploy(t, id, "task-2", service(id, runs, ""))
	if err != nil || next.Resumed || next.JobVersion != reg.JobVersion+1 || third.DeploymentID == deployed.DeploymentID {
		t.Errorf("the next task: got %+v, %+v and %v, want a new version", next, third, err)
	}
	if err := b.client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: id}, &reporter{}); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: id}, &reporter{}); err != nil {
		t.Errorf("destroying what is gone: %v", err)
	}
}

func TestRealCrashLoop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, reschedule := range map[string]string{"nomad-fails": noReschedule, "nomad-waits": slowReschedule} {
		id := b.id(t, "crash-"+name)
		start := time.Now()
		_, _, rep, err := b.deploy(t, id, "task-1", service(id, "echo last words; exit 3", reschedule))
		wantFailure(t, err, tasks.ReasonCrashed, "job "+id, "the app crashed: exit code 3 (1 restart)")
		wantLines(t, "stdout", rep.stdout(), "web: last words")
		if took := time.Since(start); took > 25*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		deployments, _, err := b.raw.Jobs().Deployments(id, true, nil)
		if err != nil || len(deployments) != 1 || deployments[0].Status != "failed" {
			t.Errorf("%s: got deployments %+v, want one that failed", name, deployments)
		}
	}
}

func TestRealRollback(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "revert")
	if _, _, _, err := b.deploy(t, id, "task-1", service(id, runs, slowReschedule)); err != nil {
		t.Fatal(err)
	}
	reg, _, _, err := b.deploy(t, id, "task-2", service(id, "exit 4", slowReschedule))
	failure := wantFailure(t, err, tasks.ReasonRolledBack, "exit code 4", "Nomad went back to version 0")
	if failure.RolledBackTo == nil || *failure.RolledBackTo != 0 {
		t.Errorf("got RolledBackTo %v, want 0", failure.RolledBackTo)
	}
	again, _, _, err := b.deploy(t, id, "task-2", service(id, "exit 4", slowReschedule))
	wantFailure(t, err, tasks.ReasonRolledBack, "exit code 4")
	if !again.Resumed || again.JobVersion != reg.JobVersion {
		t.Errorf("the rolled back task again: got %+v, want its version %d", again, reg.JobVersion)
	}
}

func TestRealFailingCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "check")
	extra := `network {
      port "http" {}
    }
    service {
      name     = "web"
      provider = "nomad"
      port     = "http"
      check {
        name     = "alive"
        type     = "http"
        path     = "/v1/nope"
        interval = "1s"
        timeout  = "1s"
      }
    }` + "\n" + slowReschedule
	_, _, _, err := b.deploy(t, id, "task-1", service(id, runs, extra))
	wantFailure(t, err, tasks.ReasonUnhealthy, `health check "alive" on port http failed: connection refused`)
}

func TestRealPlacementFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct{ from, to, want string }{
		"memory":     {"memory = 32", "memory = 80000", "no node has room for the app: memory exhausted on 1 of 1 nodes (asked for 80000 MiB)"},
		"datacenter": {`"dc1"`, `"dc9"`, "no node is there for the app"},
		"driver":     {`"raw_exec"`, `"exec2"`, "missing drivers on 1 of 1 nodes"},
		"constraint": {`group "web" {`, "constraint {\nattribute = \"${attr.kernel.name}\"\nvalue = \"windows\"\n}\ngroup \"web\" {", `constraint "${attr.kernel.name} = windows" not met on 1 of 1 nodes`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := b.id(t, "room-"+name)
			start := time.Now()
			_, _, _, err := b.deploy(t, id, "task-1", strings.Replace(service(id, runs, ""), c.from, c.to, 1))
			wantFailure(t, err, tasks.ReasonPlacementFailed, c.want)
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %s, want at most 15 s", took)
			}
		})
	}
}

// kind is a job of another type.
func kind(id, head, script string) string {
	hcl := strings.Replace(service(id, script, ""), `datacenters = ["dc1"]`, "datacenters = [\"dc1\"]\n"+head, 1)
	start, end := strings.Index(hcl, "    update {"), strings.Index(hcl, `    task "web"`)
	return hcl[:start] + hcl[end:]
}

func TestRealKindsWithoutDeployment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		head, script string
		reason       tasks.Reason
		want         string
	}{
		"batch":         {head: `type = "batch"`, script: "echo done"},
		"sysbatch":      {head: `type = "sysbatch"`, script: "echo done"},
		"system":        {head: `type = "system"`, script: runs},
		"periodic":      {head: "type = \"batch\"\nperiodic {\ncrons = [\"0 0 1 1 *\"]\n}", script: "exit 1"},
		"parameterized": {head: "type = \"batch\"\nparameterized {}", script: "exit 1"},
		"count zero":    {head: "", script: runs},
		"no update":     {head: "update {\nmax_parallel = 0\n}", script: runs},
		"system crash":  {head: `type = "system"`, script: "exit 5", reason: tasks.ReasonCrashed, want: "exit code 5"},
		"batch crash":   {head: "type = \"batch\"\nreschedule {\nattempts = 0\nunlimited = false\n}", script: "exit 6", reason: tasks.ReasonCrashed, want: "exit code 6"},
		"system nowhere": {
			head: "type = \"system\"\nconstraint {\nattribute = \"${attr.kernel.name}\"\nvalue = \"windows\"\n}", script: runs,
			reason: tasks.ReasonPlacementFailed, want: "windows",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := b.id(t, strings.ReplaceAll(name, " ", "-"))
			hcl := kind(id, c.head, c.script)
			if name == "periodic" {
				hcl = strings.Replace(hcl, `crons = ["0 0 1 1 *"]`, `cron = "0 0 1 1 *"`, 1)
			}
			if name == "count zero" {
				hcl = strings.Replace(hcl, `group "web" {`, "group \"web\" {\ncount = 0", 1)
			}
			_, _, _, err := b.deploy(t, id, "task-1", hcl)
			if c.reason != "" {
				wantFailure(t, err, c.reason, c.want)
			} else if err != nil {
				t.Errorf("got %v, want success", err)
			}
		})
	}
}

func TestRealPromotionStopAndSupersede(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "canary")
	hcl := strings.Replace(service(id, runs, ""), "auto_revert       = true", "canary = 1", 1)
	if _, _, _, err := b.deploy(t, id, "task-1", hcl); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := b.deploy(t, id, "task-2", hcl)
	wantFailure(t, err, tasks.ReasonNeedsPromotion, "wait for a promotion")

	for _, c := range []struct {
		name   string
		act    func(id string) error
		reason tasks.Reason
	}{
		{"stopped", func(id string) error { _, _, err := b.raw.Jobs().Deregister(id, false, nil); return err }, tasks.ReasonJobStopped},
		{"purged", func(id string) error { _, _, err := b.raw.Jobs().Deregister(id, true, nil); return err }, tasks.ReasonJobStopped},
		{"superseded", func(id string) error {
			_, err := b.client.Register(t.Context(), tasks.Cluster{}, tasks.JobSpec{HCL: []byte(service(id, runs, "")), JobID: id, TaskID: "task-2"})
			return err
		}, tasks.ReasonSuperseded},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id := b.id(t, c.name)
			reg, err := b.client.Register(t.Context(), tasks.Cluster{}, tasks.JobSpec{
				HCL: []byte(strings.Replace(service(id, runs, ""), `"2s"`, `"12s"`, 1)), JobID: id, TaskID: "task-1",
			})
			if err != nil {
				t.Fatal(err)
			}
			watched := make(chan error, 1)
			go func() {
				_, err := b.client.Watch(t.Context(), tasks.Cluster{}, reg, &reporter{})
				watched <- err
			}()
			b.waitForRunning(t, id)
			if err := c.act(id); err != nil {
				t.Fatal(err)
			}
			wantFailure(t, <-watched, c.reason)
		})
	}
}

func (b *bench) waitForRunning(t *testing.T, id string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		allocs, _, err := b.raw.Jobs().Allocations(id, false, nil)
		if err == nil && len(allocs) > 0 && allocs[0].ClientStatus == "running" {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatalf("job %s does not run", id)
}
