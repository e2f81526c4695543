package nomad_test

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func ptr[T any](v T) *T { return &v }

// webJob is a job with one group and one task.
func webJob(kind string, count int) *api.Job {
	return &api.Job{
		ID: ptr("web"), Name: ptr("web"), Type: &kind, Meta: map[string]string{},
		TaskGroups: []*api.TaskGroup{{
			Name: ptr("web"), Count: &count,
			Services: []*api.Service{{Name: "web", PortLabel: "http", Checks: []api.ServiceCheck{{Name: "alive"}}}},
			Tasks: []*api.Task{{
				Name: "web", Driver: "docker", Config: map[string]any{"image": "registry.test/web@sha256:1"},
				Resources: &api.Resources{CPU: ptr(100), MemoryMB: ptr(64)},
			}},
		}},
	}
}

func hcl(job *api.Job) []byte {
	text, err := json.Marshal(job)
	if err != nil {
		panic(err)
	}
	return text
}

// seed puts a job that the task "t1" registered, with its evaluation done, and
// returns the registration that a watch takes.
func (f *fake) seed(job *api.Job) tasks.Registration {
	job.Meta["dispatchd.task_id"] = "t1"
	f.put(job)
	f.setEvals(&api.Evaluation{ID: "eval-1", Status: "complete", JobModifyIndex: *job.JobModifyIndex})
	return tasks.Registration{JobID: *job.ID, Namespace: "default", JobVersion: *job.Version, ModifyIndex: *job.JobModifyIndex}
}

func (f *fake) setEvals(evals ...*api.Evaluation) {
	f.change("evaluations", func(index uint64) {
		for _, eval := range evals {
			eval.JobID, eval.TriggeredBy, eval.Type, eval.Namespace = "web", "job-register", "service", "default"
			eval.CreateIndex, eval.ModifyIndex = index, index
		}
		f.evals["web"] = evals
	})
}

// setDeployment makes or replaces the deployment of the registered version.
func (f *fake) setDeployment(reg tasks.Registration, status, description string, group api.DeploymentState) {
	f.change("deployments", func(index uint64) {
		d := &api.Deployment{
			ID: "dep-" + strconv.FormatUint(reg.JobVersion, 10), JobID: reg.JobID, Namespace: "default", Status: status, StatusDescription: description,
			JobVersion: reg.JobVersion, JobSpecModifyIndex: reg.ModifyIndex, JobModifyIndex: reg.ModifyIndex, JobCreateIndex: reg.ModifyIndex,
			TaskGroups: map[string]*api.DeploymentState{"web": &group}, CreateIndex: index, ModifyIndex: index,
		}
		list := []*api.Deployment{d}
		for _, other := range f.deployments[reg.JobID] {
			if other.ID != d.ID {
				list = append(list, other)
			}
		}
		f.deployments[reg.JobID] = list
	})
}

// alloc is an allocation of the registered version.
func alloc(reg tasks.Registration, id, status string, healthy *bool, state *api.TaskState) *api.AllocationListStub {
	stub := &api.AllocationListStub{
		ID: id, Name: "web.web[0]", Namespace: "default", JobID: reg.JobID, JobType: "service", JobVersion: reg.JobVersion, TaskGroup: "web",
		NodeID: "node-1", NodeName: "node", EvalID: "eval-1", DesiredStatus: "run", ClientStatus: status,
		TaskStates: map[string]*api.TaskState{"web": state},
	}
	if healthy != nil {
		stub.DeploymentStatus = &api.AllocDeploymentStatus{Healthy: healthy, Timestamp: time.Unix(1, 0)}
	}
	return stub
}

func (f *fake) setAllocs(job string, allocs ...*api.AllocationListStub) {
	f.change("allocations", func(index uint64) {
		for i, stub := range allocs {
			stub.CreateIndex, stub.ModifyIndex = index+uint64(i), index
		}
		f.allocs[job] = allocs
	})
}

// setLog is what the file of an output, allocation/task/kind, holds from now on.
func (f *fake) setLog(output, text string) {
	f.change("", func(uint64) { f.logs[output] = text })
}

func running(restarts uint64, events ...*api.TaskEvent) *api.TaskState {
	return &api.TaskState{State: "running", Restarts: restarts, StartedAt: time.Unix(1, 0), Events: events}
}

func dead(restarts uint64, events ...*api.TaskEvent) *api.TaskState {
	return &api.TaskState{State: "dead", Failed: true, Restarts: restarts, StartedAt: time.Unix(1, 0), FinishedAt: time.Unix(2, 0), Events: events}
}

func event(kind, message string, details ...string) *api.TaskEvent {
	e := &api.TaskEvent{Type: kind, DisplayMessage: message, Time: time.Now().UnixNano(), Details: map[string]string{}}
	for i := 0; i+1 < len(details); i += 2 {
		e.Details[details[i]] = details[i+1]
	}
	return e
}

func exit(code string) *api.TaskEvent {
	return event("Terminated", "Exit Code: "+code, "exit_code", code, "signal", "0", "oom_killed", "false")
}
