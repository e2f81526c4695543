//go:build e2e

package e2e_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// policyToken makes a token with a policy.
func policyToken(t *testing.T, rules string) string {
	t.Helper()
	name := newName("dispatchd")
	if _, err := shared.nomad.ACLPolicies().Upsert(&api.ACLPolicy{Name: name, Rules: rules}, nil); err != nil {
		t.Fatal(err)
	}
	token, _, err := shared.nomad.ACLTokens().Create(&api.ACLToken{Name: name, Type: "client", Policies: []string{name}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

// TestNomadPolicyIsTheLeast takes one right after the other away, and sees what
// is missing then.
func TestNomadPolicyIsTheLeast(t *testing.T) {
	t.Parallel()
	text := readFile(t, policyFile)
	for _, c := range []struct {
		line  string
		works func(t *testing.T, token string) bool
	}{
		{`    "submit-job", .*\n`, canDeploy},
		{`    "read-job", .*\n`, canDeploy},
		{`    "list-jobs", .*\n`, canDestroyChildren},
		{`    "read-logs", .*\n`, canShowOutput},
		{`(?s)node \{.*\}`, canReadNodes},
	} {
		t.Run(strings.Fields(c.line)[0], func(t *testing.T) {
			t.Parallel()
			less := regexp.MustCompile(c.line).ReplaceAllString(text, "")
			if less == text {
				t.Fatal("the policy does not have the line")
			}
			if !c.works(t, policyToken(t, text)) {
				t.Error("the whole policy does not suffice")
			}
			if c.works(t, policyToken(t, less)) {
				t.Error("nothing is missing without it")
			}
		})
	}
}

// deployWith has a worker with a token deploy the sample.
func deployWith(t *testing.T, token string) (*world, *sent, record) {
	t.Helper()
	w := newWorld(t, worldOptions{env: []string{"NOMAD_TOKEN=" + token}})
	w.start()
	s := w.send(image(t, "rights", pushHello(t, "rights", "1"), "1"))
	return w, s, w.settled(s, 3*time.Minute)
}

func canDeploy(t *testing.T, token string) bool {
	_, _, r := deployWith(t, token)
	if r.Status == "failed" && r.Reason != "nomad_auth" {
		t.Errorf("the deployment failed with %s: %s", r.Reason, r.Message)
	}
	return r.Status == "succeeded"
}

func canShowOutput(t *testing.T, token string) bool {
	w, s, r := deployWith(t, token)
	if r.Status != "succeeded" {
		t.Errorf("the deployment failed with %s: %s", r.Reason, r.Message)
	}
	return strings.Contains(w.logText(s), "hello dev starts on port")
}

// canDestroyChildren destroys a parameterized job that has been dispatched.
func canDestroyChildren(t *testing.T, token string) bool {
	job := newJob(t, "parent")
	registerHCL(t, `job "`+job+`" {
  type        = "batch"
  datacenters = ["dc1"]
  parameterized {}
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "`+shared.bed.Tools.BusyBox+`"
        args    = ["sleep", "600"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}`)
	res, _, err := shared.nomad.Jobs().Dispatch(job, nil, nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = shared.nomad.Jobs().Deregister(res.DispatchedJobID, true, nil) })
	w := newWorld(t, worldOptions{env: []string{"NOMAD_TOKEN=" + token}})
	w.start()
	w.settled(w.send(destroy("delete", params{"jobId": job, "serviceId": "srv-1"})), 2*time.Minute)
	return !jobExists(t, res.DispatchedJobID)
}

func canReadNodes(t *testing.T, token string) bool {
	client, err := nomad.New(nomad.Options{Address: shared.bed.Nomad.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	info, err := client.Info(brief(t), tasks.Cluster{Address: shared.bed.Nomad.Addr(), Token: tasks.Secret(token)})
	if err != nil {
		t.Fatal(err)
	}
	return info.Version != ""
}
