//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// nobodysNomad is an environment whose own Nomad is not there.
var nobodysNomad = []string{"NOMAD_ADDR=http://127.0.0.1:1", "NOMAD_TOKEN=00000000-0000-4000-8000-000000000000"}

// TestATaskBringsItsOwnNomad: the worker's own is away, and its token goes to
// nobody else.
func TestATaskBringsItsOwnNomad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{env: nobodysNomad})
	w.start()
	repository := pushHello(t, "own-nomad", "1")
	k := image(t, "own-nomad", repository, "1").with(params{"nomadAddress": shared.bed.Nomad.Addr(), "nomadToken": newNomadToken(t)})
	w.succeeded(w.send(k), patience)
	if len(allocations(t, k.job())) != 1 {
		t.Errorf("job %s does not run", k.job())
	}

	w.failed(w.send(image(t, "no-token", repository, "1").with(params{"nomadAddress": shared.bed.Nomad.Addr()})), patience, "nomad_auth", "register")
	for _, token := range []string{"no token at all", "6e2f1c30-0000-4000-8000-000000000000"} {
		wrong := image(t, "wrong-token", repository, "1").with(params{"nomadAddress": shared.bed.Nomad.Addr(), "nomadToken": token})
		w.failed(w.send(wrong), patience, "nomad_auth", "register")
	}

	gone := destroy("delete", params{"jobId": k.job(), "serviceId": "srv-1", "nomadAddress": shared.bed.Nomad.Addr(), "nomadToken": newNomadToken(t)})
	w.succeeded(w.send(gone), patience)
	if jobExists(t, k.job()) {
		t.Errorf("job %s is still there", k.job())
	}
}

// TestNamespaceAndRegionOfTheSettings deploys and destroys with a token that
// may do nothing outside one namespace.
func TestNamespaceAndRegionOfTheSettings(t *testing.T) {
	t.Parallel()
	namespace, token := newNamespace(t)
	env := []string{"NOMAD_NAMESPACE=" + namespace, "NOMAD_TOKEN=" + token, "NOMAD_REGION=global"}
	w := newWorld(t, worldOptions{env: env})
	w.start()
	repository := pushHello(t, "tenant", "1")
	k := image(t, "tenant", repository, "1")
	w.succeeded(w.send(k), patience)
	there := &api.QueryOptions{Namespace: namespace}
	job, _, err := shared.nomad.Jobs().Info(k.job(), there)
	if err != nil || *job.Namespace != namespace || *job.Region != "global" {
		t.Fatalf("job %s of namespace %s: %v", k.job(), namespace, err)
	}
	if jobExists(t, k.job()) {
		t.Errorf("the default namespace has a job %s, too", k.job())
	}
	w.succeeded(w.send(destroy("delete", params{"jobId": k.job(), "serviceId": "srv-1"})), patience)
	if _, _, err := shared.nomad.Jobs().Info(k.job(), there); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("job %s after its destruction: %v", k.job(), err)
	}
}

// TestNamespaceAndRegionThatAreNot names what is wrong.
func TestNamespaceAndRegionThatAreNot(t *testing.T) {
	t.Parallel()
	_, token := newNamespace(t)
	repository := pushHello(t, "nowhere", "1")
	for _, c := range []struct {
		name, reason, stage string
		env                 []string
		says                string
	}{
		{"a namespace that the token may not use", "nomad_auth", "register", []string{"NOMAD_NAMESPACE=default", "NOMAD_TOKEN=" + token}, "refused the token"},
		{"a namespace that is not", "job_rejected", "register", []string{"NOMAD_NAMESPACE=nowhere"}, "nonexistent namespace"},
		{"a region that is not", "job_rejected", "render", []string{"NOMAD_REGION=nowhere"}, "No path to region"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{env: c.env})
			w.start()
			r := w.failed(w.send(image(t, "nowhere", repository, "1")), patience, c.reason, c.stage)
			wantAll(t, "the failure", r.Message, c.says)
		})
	}
}

// newNamespace makes a namespace and a token with the rights that a deployment
// needs there, and none elsewhere.
func newNamespace(t *testing.T) (namespace, token string) {
	t.Helper()
	namespace = "tenant-" + strings.ToLower(tasks.NewID()[:6])
	if _, err := shared.nomad.Namespaces().Register(&api.Namespace{Name: namespace}, nil); err != nil {
		t.Fatal(err)
	}
	rules := fmt.Sprintf(`namespace %q {
  capabilities = ["submit-job", "parse-job", "read-job", "list-jobs", "read-logs"]
}`, namespace)
	if _, err := shared.nomad.ACLPolicies().Upsert(&api.ACLPolicy{Name: namespace, Rules: rules}, nil); err != nil {
		t.Fatal(err)
	}
	made, _, err := shared.nomad.ACLTokens().Create(&api.ACLToken{Name: namespace, Type: "client", Policies: []string{namespace}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return namespace, made.SecretID
}
