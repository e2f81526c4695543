//go:build e2e

package e2e_test

import (
	"os"
	"strings"
	"testing"
)

// TestExamplesRun submits the examples that need nothing but a repository, as
// their README says: a deployment, its next commit, and the end of both.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	source := newProvider(t)
	if err := source.Create(t.Context(), "dispatchd/dispatchd"); err != nil {
		t.Fatal(err)
	}
	source.commit("dispatchd/dispatchd", site(t, "Deployed by dispatchd."))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	const job = "example-dockerfile"
	t.Cleanup(func() { _, _, _ = shared.nomad.Jobs().Deregister(job, true, nil) })

	wantSubmitted(t, w, "github-dockerfile.json", "SUCCEEDED")
	if got := answer(t, job); !strings.Contains(got, "Deployed by dispatchd.") {
		t.Errorf("the site says %q", got)
	}
	source.commit("dispatchd/dispatchd", site(t, "Deployed again."))
	wantSubmitted(t, w, "redeploy.json", "SUCCEEDED")
	if got := answer(t, job); !strings.Contains(got, "Deployed again.") {
		t.Errorf("after the next commit the site says %q", got)
	}
	wantSubmitted(t, w, "destroy.json", "SUCCEEDED")
	if jobExists(t, job) {
		t.Errorf("job %s is still there", job)
	}
}

func wantSubmitted(t *testing.T, w *world, name string, says string) {
	t.Helper()
	p := startProcess(t, w.env, "submit", "../../examples/tasks/"+name)
	if code := p.exit(patience); code != 0 {
		t.Fatalf("submit %s: exit code %d:\n%s%s", name, code, p.out.tail(20), p.err.tail(5))
	}
	wantAll(t, "the output of "+name, p.out.String(), says)
}

// site is examples/site, from an image that is here.
func site(t *testing.T, text string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range []string{"Dockerfile", "index.html"} {
		content, err := os.ReadFile("../../examples/site/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files["examples/site/"+name] = strings.NewReplacer("busybox:1.36", shared.base, "Deployed by dispatchd.", text).Replace(string(content))
	}
	return files
}
