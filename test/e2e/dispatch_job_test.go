//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// dispatchJob is deploy/nomad/legacy-dispatch.nomad.hcl with the binary on
// this machine in place of the container image.
const dispatchJob = `job %q {
  type        = "batch"
  datacenters = ["dc1"]

  parameterized {
    payload       = "forbidden"
    meta_required = ["task", "params"]
  }

  group "dispatch" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "dispatchd" {
      driver = "raw_exec"
      config {
        command = %q
        args    = ["run-once"]
      }
      env {
%s
      }
      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
`

// TestRunOnceAsADispatchedNomadJob dispatches what the backend dispatches, and
// reads the exit codes from Nomad.
func TestRunOnceAsADispatchedNomadJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	job := newJob(t, "dispatchd")
	registerHCL(t, fmt.Sprintf(dispatchJob, job, shared.binary, hclEnv(w.env)))
	repository := pushHello(t, "dispatched", "1")
	good := image(t, "dispatched", repository, "1")
	bad := image(t, "dispatched-bad", repository, "not-there")

	for _, c := range []struct {
		task task
		code int
	}{{good, 0}, {bad, 1}} {
		id := dispatch(t, job, c.task)
		// The task's id is the last part of the dispatched job's.
		c.task.id = id[strings.LastIndex(id, "/")+1:]
		s := w.expect(c.task)
		if code := exitCode(t, id); code != c.code {
			t.Errorf("Nomad sees exit code %d of %s, want %d", code, id, c.code)
		}
		w.settled(s, 10*time.Second)
	}
	if got, want := answer(t, good.job()), "hello from dev\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
}

// hclEnv writes variables as the body of an env block.
func hclEnv(env []string) string {
	var b strings.Builder
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		fmt.Fprintf(&b, "        %s = %q\n", name, value)
	}
	return b.String()
}

func registerHCL(t *testing.T, text string) {
	t.Helper()
	job, err := shared.nomad.Jobs().ParseHCL(text, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := shared.nomad.Jobs().Register(job, nil); err != nil {
		t.Fatal(err)
	}
}

func dispatch(t *testing.T, job string, k task) (id string) {
	t.Helper()
	meta := map[string]string{"task": k.kind, "params": base64.StdEncoding.EncodeToString(mustJSON(t, k.params))}
	res, _, err := shared.nomad.Jobs().Dispatch(job, meta, nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return res.DispatchedJobID
}

// exitCode waits for the end of a dispatched job's one task.
func exitCode(t *testing.T, job string) (code int) {
	t.Helper()
	eventually(t, patience, "job "+job+" ends", func() bool {
		allocs, _, err := shared.nomad.Jobs().Allocations(job, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, alloc := range allocs {
			for _, state := range alloc.TaskStates {
				for _, event := range state.Events {
					if event.Type == api.TaskTerminated {
						code = event.ExitCode
						return true
					}
				}
			}
		}
		return false
	})
	return code
}
