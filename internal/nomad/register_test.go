package nomad_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func spec(task string) tasks.JobSpec {
	return tasks.JobSpec{HCL: hcl(webJob("service", 1)), JobID: "web", TaskID: task}
}

func TestRegisterMarksTheJobAndKnowsItAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	client := f.client(t, nomad.Options{})
	first, err := client.Register(t.Context(), tasks.Cluster{}, spec("t1"))
	if err != nil || first.Resumed || first.JobVersion != 0 || first.EvalID == "" || first.Namespace != "default" {
		t.Fatalf("got %+v and %v", first, err)
	}
	if id := f.jobs["web"][0].Meta["dispatchd.task_id"]; id != "t1" {
		t.Errorf("got task id %q in the job's meta", id)
	}
	again, err := client.Register(t.Context(), tasks.Cluster{}, spec("t1"))
	if err != nil || !again.Resumed || again.ModifyIndex != first.ModifyIndex || len(f.jobs["web"]) != 1 {
		t.Errorf("the same task: got %+v and %v, want the first registration", again, err)
	}
	second, err := client.Register(t.Context(), tasks.Cluster{}, spec("t2"))
	if err != nil || second.Resumed || second.JobVersion != 1 {
		t.Errorf("the next task: got %+v and %v, want version 1", second, err)
	}
	former, err := client.Register(t.Context(), tasks.Cluster{}, spec("t1"))
	if err != nil || !former.Resumed || former.JobVersion != 0 || len(f.jobs["web"]) != 2 {
		t.Errorf("the first task again: got %+v and %v, want its former version", former, err)
	}
	f.deregister(discard{}, "web", false)
	anew, err := client.Register(t.Context(), tasks.Cluster{}, spec("t2"))
	if err != nil || anew.Resumed || anew.JobVersion != 3 {
		t.Errorf("a stopped job: got %+v and %v, want it registered again", anew, err)
	}
}

func TestRegisterPassesOverAStoppedVersionOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.seed(webJob("service", 1))
	f.deregister(discard{}, "web", false)
	f.put(webJob("service", 2))
	reg, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
	if err != nil || !reg.Resumed || reg.JobVersion != 0 {
		t.Errorf("got %+v and %v, want version 0", reg, err)
	}
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func TestRegisterReadsAgainAfterAConflict(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put(webJob("service", 1))
	conflicts := 0
	f.script("PUT /v1/jobs", func(w http.ResponseWriter, r *http.Request) {
		if conflicts++; conflicts == 1 {
			f.put(webJob("service", 2))
		}
		f.register(w, r)
	})
	reg, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
	if err != nil || reg.JobVersion != 2 || conflicts != 2 {
		t.Errorf("got %+v and %v after %d attempts, want version 2 at the second", reg, err, conflicts)
	}
}

func TestRegisterGivesUpAfterConflicts(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.script("PUT /v1/jobs", func(w http.ResponseWriter, r *http.Request) {
		f.put(webJob("service", 1))
		f.register(w, r)
	})
	_, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
	wantFailure(t, err, tasks.ReasonJobConflict, "job web", "changed by somebody else")
}

func TestRegisterFindsItsVersionBehindANewerOne(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.onRegister = func(*api.Job) {
		f.onRegister = nil
		f.put(webJob("service", 5))
	}
	reg, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
	if err != nil || reg.JobVersion != 0 {
		t.Errorf("got %+v and %v, want version 0", reg, err)
	}
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	named := func(change func(*api.Job)) []byte {
		job := webJob("service", 1)
		change(job)
		return hcl(job)
	}
	for name, c := range map[string]struct {
		hcl    []byte
		status int
		body   string
		reason tasks.Reason
		want   string
	}{
		"no job":            {hcl: []byte("job {"), reason: tasks.ReasonJobRejected, want: "Failed to parse job"},
		"another id":        {hcl: named(func(j *api.Job) { j.ID = ptr("other") }), reason: tasks.ReasonJobRejected, want: `another id, "other"`},
		"another namespace": {hcl: named(func(j *api.Job) { j.Namespace = ptr("prod") }), reason: tasks.ReasonJobRejected, want: `namespace "prod"`},
		"another region":    {hcl: named(func(j *api.Job) { j.Region = ptr("eu") }), reason: tasks.ReasonJobRejected, want: `region "eu"`},
		"validation": {
			status: 500, body: "2 errors occurred:\n\t* Missing job datacenters\n\t* Task group web validation failed: 1 error occurred:\n\t* Missing tasks\n\n",
			reason: tasks.ReasonJobRejected, want: "Nomad refused the job: Missing job datacenters; Task group web validation failed: Missing tasks",
		},
		"namespace":   {status: 500, body: `1 error occurred: job "web" is in nonexistent namespace "x"`, reason: tasks.ReasonJobRejected, want: "nonexistent namespace"},
		"change type": {status: 500, body: `cannot update job from type "service" to "batch"`, reason: tasks.ReasonJobRejected, want: "cannot update job from type"},
		"no token":    {status: 403, body: "Permission denied", reason: tasks.ReasonNomadAuth, want: "refused the token"},
		"no UUID":     {status: 500, body: "failed to resolve ACL token: acl token lookup failed: index error: UUID must be 36 characters", reason: tasks.ReasonNomadAuth, want: "refused the token"},
		"no leader":   {status: 500, body: "No cluster leader", reason: tasks.ReasonNomadDown, want: "it has no leader"},
		"rpc":         {status: 500, body: "rpc error: EOF", reason: tasks.ReasonNomadDown, want: "status 500"},
		"too many":    {status: 429, body: "Too many requests", reason: tasks.ReasonNomadDown, want: "status 429"},
		"unknown 500": {status: 500, body: "raft is having a bad day", reason: tasks.ReasonNomadDown, want: "status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			if c.status != 0 {
				f.script("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, c.body, c.status) })
			}
			request := spec("t1")
			if c.hcl != nil {
				request.HCL = c.hcl
			}
			_, err := f.client(t, nomad.Options{Region: "global"}).Register(t.Context(), tasks.Cluster{}, request)
			failure := wantFailure(t, err, c.reason, "job web: ", c.want)
			if strings.Contains(failure.Message, "\n") {
				t.Errorf("got the message %q, want one line", failure.Message)
			}
		})
	}
}
