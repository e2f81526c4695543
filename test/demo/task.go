package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// What the demo deploys.
const (
	repository = "demo/hello"
	jobName    = "hello"
	appPort    = 8080
	// jobNumber is the backend's own number of the deployment.
	jobNumber = 456
)

// params are a task's params, as a sender writes them.
type params map[string]any

// task is one request, as it stands in the file that submit reads.
type task struct {
	Kind   string `json:"task"`
	ID     string `json:"id,omitempty"`
	Params params `json:"params"`

	// at is when it was submitted.
	at time.Time
}

func (t task) deployment() string {
	id, _ := t.Params["deploymentId"].(string)
	return id
}

// deployTask is a deploy-repository of the sample: an app that is healthy
// within seconds or not at all, and whose failed update is rolled back.
func deployTask(id, token string) task {
	return task{Kind: "deploy-repository", ID: id, Params: params{
		"jobId": jobName, "deploymentId": id, "deploymentJobId": jobNumber, "serviceId": "srv-1",
		"teamId": "team-1", "projectId": "prj-1", "userId": 42, "ownerId": "own-1",
		"repository": repository, "branch": "main", "provider": "github", "gitPass": token,
		"build": params{"builder": "csdocker"},
		"cpu":   100, "ram": 64, "restartMode": "never",
		"networks": []params{{
			"portNumber": appPort, "portType": "http", "has_health_check": "http",
			"health_check": params{"type": "http", "path": "/healthz", "interval": "1s", "timeout": "1s", "port": appPort},
		}},
		"update": params{"minHealthyTime": "1s", "healthyDeadline": "15s", "progressDeadline": "30s", "autoRevert": true},
	}}
}

func destroyTask(id string) task {
	return task{Kind: "destroy-job-pack", ID: id, Params: params{
		"reason": "delete", "jobs": []params{{"jobId": jobName, "serviceId": "srv-1"}},
	}}
}

// write puts the task into a file, which holds a token.
func (t task) write(dir, name string) (path string, err error) {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the task %s: %w", name, err)
	}
	path = filepath.Join(dir, name+".json")
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("write the task %s: %w", name, err)
	}
	return path, nil
}
