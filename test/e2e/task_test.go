//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// params are a task's params, as a sender writes them.
type params map[string]any

// task is one request of the backend.
type task struct {
	kind   string
	id     string
	params params
}

// job is the Nomad job that the task is about.
func (k task) job() string {
	job, _ := k.params["jobId"].(string)
	return job
}

// subject is where the backend publishes the task, without the prefix.
func (k task) subject() string {
	target := k.job()
	if jobs, ok := k.params["jobs"].([]params); ok {
		target, _ = jobs[0]["jobId"].(string)
	}
	return fmt.Sprintf("dispatch.task.%s.%s.%s", k.kind, target, k.id)
}

func (k task) body(t *testing.T) []byte {
	t.Helper()
	return mustJSON(t, map[string]any{"task": k.kind, "params": k.params})
}

// meta is the environment of a dispatched job: params as base64, and a job id
// that names the task.
func (k task) meta(t *testing.T) []string {
	t.Helper()
	return []string{
		"NOMAD_META_TASK=" + k.kind,
		"NOMAD_META_PARAMS=" + base64.StdEncoding.EncodeToString(mustJSON(t, k.params)),
		"NOMAD_JOB_ID=dispatchd/" + k.id,
	}
}

// dispatched gives the task an id as Nomad's dispatch makes it.
func (k task) dispatched() task {
	k.id = fmt.Sprintf("dispatch-1700000000-%x", tasks.NewID()[:8])
	return k
}

// with changes some params.
func (k task) with(more params) task {
	k.params = maps.Clone(k.params)
	maps.Copy(k.params, more)
	return k
}

// again is the same work as a new request.
func (k task) again() task {
	k.id = newID()
	return k.with(params{"deploymentId": "dep-" + k.id})
}

func newID() string { return "t-" + strings.ToLower(tasks.NewID()[:12]) }

// newJob makes a name for a job that no other test has, and removes the job at
// the end of the test: a purged id can place nothing for a while.
func newJob(t *testing.T, name string) string {
	t.Helper()
	job := name + "-" + strings.ToLower(tasks.NewID()[:6])
	t.Cleanup(func() { _, _, _ = shared.nomad.Jobs().Deregister(job, true, nil) })
	return job
}

// deploy holds what every deployment has: an app that is healthy within
// seconds, or not at all.
func deploy(t *testing.T, name string) params {
	t.Helper()
	return params{
		"jobId": newJob(t, name), "serviceId": "srv-1", "teamId": "team-7", "projectId": "prj-1",
		"userId": 42, "ownerId": "own-9", "deploymentJobId": 456,
		"cpu": 100, "ram": 64, "restartMode": "never",
		"networks": []params{{
			"portNumber": 8080, "portType": "http", "has_health_check": "http",
			"health_check": params{"type": "http", "path": "/healthz", "interval": "1s", "timeout": "1s", "port": 8080},
		}},
		"update": params{"minHealthyTime": "1s", "healthyDeadline": "15s", "progressDeadline": "20s", "autoRevert": false},
	}
}

// image is a deploy-image of a repository of the bed's registry.
func image(t *testing.T, name, repository, tag string) task {
	t.Helper()
	k := task{kind: "deploy-image", params: deploy(t, name)}.again()
	return k.with(params{"imageName": repository, "imageTag": tag})
}

// destroy is a task that removes jobs.
func destroy(reason string, jobs ...params) task {
	return task{kind: "destroy-job-pack", id: newID(), params: params{"reason": reason, "jobs": jobs}}
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
