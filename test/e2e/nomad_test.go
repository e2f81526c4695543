//go:build e2e

package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// readJob reads a job from Nomad.
func readJob(t *testing.T, id string) *api.Job {
	t.Helper()
	job, _, err := shared.nomad.Jobs().Info(id, nil)
	if err != nil {
		t.Fatalf("read job %s: %v", id, err)
	}
	return job
}

// jobExists reports whether Nomad knows a job that is not stopped.
func jobExists(t *testing.T, id string) bool {
	t.Helper()
	job, _, err := shared.nomad.Jobs().Info(id, nil)
	if err != nil && strings.Contains(err.Error(), "404") {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return job.Stop == nil || !*job.Stop
}

// jobImage is the image that the job's one task runs.
func jobImage(t *testing.T, id string) string {
	t.Helper()
	job := readJob(t, id)
	if len(job.TaskGroups) != 1 || len(job.TaskGroups[0].Tasks) != 1 {
		t.Fatalf("job %s has not one group with one task", id)
	}
	text, _ := job.TaskGroups[0].Tasks[0].Config["image"].(string)
	return text
}

// allocations are those of the job that run.
func allocations(t *testing.T, id string) []*api.Allocation {
	t.Helper()
	stubs, _, err := shared.nomad.Jobs().Allocations(id, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var running []*api.Allocation
	for _, stub := range stubs {
		if stub.ClientStatus != api.AllocClientStatusRunning || stub.DesiredStatus != api.AllocDesiredStatusRun {
			continue
		}
		alloc, _, err := shared.nomad.Allocations().Info(stub.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, alloc)
	}
	return running
}

// answer asks the deployed app what it says at /.
func answer(t *testing.T, job string) string {
	t.Helper()
	running := allocations(t, job)
	if len(running) != 1 {
		t.Fatalf("job %s has %d running allocations, want 1", job, len(running))
	}
	for _, port := range running[0].AllocatedResources.Shared.Ports {
		if port.To == 8080 {
			return get(t, fmt.Sprintf("http://127.0.0.1:%d/", port.Value))
		}
	}
	t.Fatalf("job %s has no port for 8080: %+v", job, running[0].AllocatedResources.Shared.Ports)
	return ""
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(brief(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
