package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// allocation is one that Nomad runs or has run.
type allocation struct {
	ID, ClientStatus, DesiredStatus string
	AllocatedResources              struct {
		Shared struct {
			Ports []struct {
				Value, To int
				HostIP    string
			}
		}
	}
}

// running returns the allocations of the job that run and shall go on.
func running(ctx context.Context, nomad *testbed.Nomad) ([]allocation, error) {
	var all, found []allocation
	if err := nomad.Call(ctx, http.MethodGet, "/v1/job/"+jobName+"/allocations?resources=true", nil, &all); err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.ClientStatus == "running" && a.DesiredStatus == "run" {
			found = append(found, a)
		}
	}
	return found, nil
}

// url is where the app answers.
func (a allocation) url() string {
	for _, port := range a.AllocatedResources.Shared.Ports {
		if port.To == appPort {
			return fmt.Sprintf("http://%s:%d/", port.HostIP, port.Value)
		}
	}
	return ""
}

// one waits until the job has exactly one running allocation: an update and a
// rollback have two for a moment, or none.
func one(ctx context.Context, nomad *testbed.Nomad) (found allocation, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	seen := 0
	err = poll(ctx, func() (bool, error) {
		all, err := running(ctx, nomad)
		if seen = len(all); err != nil || seen != 1 {
			return false, err
		}
		found, err = read(ctx, nomad, all[0].ID)
		return err == nil, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the job %s has %d running allocations, want 1", jobName, seen)
	}
	if err == nil && found.url() == "" {
		err = fmt.Errorf("the allocation %s has no port for %d", found.ID, appPort)
	}
	return found, err
}

// read reads one allocation with its ports.
func read(ctx context.Context, nomad *testbed.Nomad, id string) (a allocation, err error) {
	err = nomad.Call(ctx, http.MethodGet, "/v1/allocation/"+id, nil, &a)
	return a, err
}

// image is what the job's one task runs.
func image(ctx context.Context, nomad *testbed.Nomad) (string, error) {
	var job struct {
		TaskGroups []struct {
			Tasks []struct{ Config map[string]any }
		}
	}
	if err := nomad.Call(ctx, http.MethodGet, "/v1/job/"+jobName, nil, &job); err != nil {
		return "", err
	}
	if len(job.TaskGroups) != 1 || len(job.TaskGroups[0].Tasks) != 1 {
		return "", fmt.Errorf("the job %s has not one group with one task", jobName)
	}
	text, _ := job.TaskGroups[0].Tasks[0].Config["image"].(string)
	return text, nil
}

// allowMemoryMax lets jobs use more memory than they reserve, as platforms do.
func allowMemoryMax(ctx context.Context, nomad *testbed.Nomad) error {
	const config = `{"SchedulerAlgorithm": "binpack", "MemoryOversubscriptionEnabled": true,
		"PreemptionConfig": {"SystemSchedulerEnabled": true}}`
	return nomad.Call(ctx, http.MethodPut, "/v1/operator/scheduler/configuration", strings.NewReader(config), nil)
}

// get asks once, on a connection of its own: a port may get another owner.
func get(ctx context.Context, url string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, strings.TrimSpace(string(body)), err
}
