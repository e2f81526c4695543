package nomad_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/hashicorp/nomad/api"
)

// parse takes JSON for HCL, which spares the fake a parser.
func (f *fake) parse(w http.ResponseWriter, r *http.Request) {
	var request api.JobsParseRequest
	var job api.Job
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := json.Unmarshal([]byte(request.JobHCL), &job); err != nil {
		http.Error(w, "Failed to parse job: "+err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, 0, job)
}

func (f *fake) register(w http.ResponseWriter, r *http.Request) {
	var request api.JobRegisterRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if text := f.conflict(&request); text != "" {
		http.Error(w, text, http.StatusInternalServerError)
		return
	}
	job := request.Job
	f.put(job)
	if f.onRegister != nil {
		f.onRegister(job)
	}
	eval := ""
	if !job.IsPeriodic() && !job.IsParameterized() {
		eval = "eval-" + strconv.FormatUint(*job.JobModifyIndex, 10)
	}
	reply(w, *job.JobModifyIndex, api.JobRegisterResponse{EvalID: eval, EvalCreateIndex: *job.JobModifyIndex, JobModifyIndex: *job.JobModifyIndex})
}

func (f *fake) conflict(request *api.JobRegisterRequest) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	versions := f.jobs[*request.Job.ID]
	const prefix = "Enforcing job modify index"
	switch {
	case !request.EnforceIndex:
		return ""
	case len(versions) == 0 && request.JobModifyIndex != 0:
		return fmt.Sprintf("%s %d: job does not exist", prefix, request.JobModifyIndex)
	case len(versions) > 0 && request.JobModifyIndex == 0:
		return prefix + " 0: job already exists"
	case len(versions) > 0 && *versions[0].JobModifyIndex != request.JobModifyIndex:
		return fmt.Sprintf("%s %d: job exists with conflicting job modify index: %d", prefix, request.JobModifyIndex, *versions[0].JobModifyIndex)
	}
	return ""
}

// put makes the job the newest version.
func (f *fake) put(job *api.Job) {
	f.change("jobs", func(index uint64) {
		version := uint64(0)
		if old := f.jobs[*job.ID]; len(old) > 0 {
			version = *old[0].Version + 1
		}
		job.Version, job.JobModifyIndex, job.ModifyIndex, job.CreateIndex = &version, &index, &index, &index
		kept := *job
		f.jobs[*job.ID] = append([]*api.Job{&kept}, f.jobs[*job.ID]...)
	})
}

func (f *fake) deregister(w http.ResponseWriter, id string, purge bool) {
	f.mu.Lock()
	versions := f.jobs[id]
	f.mu.Unlock()
	if len(versions) == 0 {
		reply(w, 0, api.JobDeregisterResponse{})
		return
	}
	if purge {
		f.change("jobs", func(uint64) { delete(f.jobs, id) })
	} else {
		stopped, yes := *versions[0], true
		stopped.Stop = &yes
		f.put(&stopped)
	}
	reply(w, 1, api.JobDeregisterResponse{EvalID: "eval-stop"})
}

func (f *fake) failDeployment(w http.ResponseWriter, id string) {
	f.change("deployments", func(index uint64) {
		for _, list := range f.deployments {
			for i, d := range list {
				if d.ID == id {
					failed := *d
					failed.Status, failed.StatusDescription, failed.ModifyIndex = "failed", "Deployment marked as failed", index
					list[i] = &failed
				}
			}
		}
	})
	reply(w, 1, api.DeploymentUpdateResponse{EvalID: "eval-fail"})
}
