//go:build e2e

package e2e_test

import (
	"os"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

// packToken reads the pack registry of these tests.
const packToken = "token-of-the-pack-registry"

// newRegistry serves the platform's own packs from a private repository.
func newRegistry(t *testing.T) *provider {
	t.Helper()
	files, err := gittest.ReadFiles(os.DirFS("../../internal/pack/testdata/registry"))
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	p.private("acme/packs", packToken, files)
	if err := p.Tag(t.Context(), "acme/packs", "v1", "main"); err != nil {
		t.Fatal(err)
	}
	p.commit("acme/packs", map[string]string{"README.md": "the packs have gone\n"})
	return p
}

// TestAPackOfARegistryIsDeployed takes the pack at a tag, with a token of the
// worker's environment, and runs what it makes on the real Nomad.
func TestAPackOfARegistryIsDeployed(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_PACK_REGISTRIES=" + registry.url + "/acme/packs", "DISPATCHD_PACK_TOKEN_OURS=" + packToken}})
	worker := w.start()
	k := image(t, "packed", pushHello(t, "packed", "v1", "HELLO_VERSION=packed"), "v1").with(params{"registry": params{
		"pack": "webapp", "registryName": "ours", "registrySource": registry.url + "/acme/packs.git", "registryRef": "v1",
		"registryToken": "var.DISPATCHD_PACK_TOKEN_OURS",
	}})
	s := w.send(k)
	w.succeeded(s, patience)
	if got, want := answer(t, k.job()), "hello from packed\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
	job := readJob(t, k.job())
	task := job.TaskGroups[0].Tasks[0]
	if task.Name != "app" || task.Env["ALLOC"] != "${NOMAD_ALLOC_ID} of webapp 0.3.1" || job.Constraints[0].LTarget != "${attr.kernel.name}" {
		t.Errorf("Nomad has task %s with %v under %v", task.Name, task.Env, job.Constraints[0])
	}
	if log := w.logText(s); !strings.Contains(log, "deploy: pack webapp 0.3.1 from "+registry.url+"/acme/packs at ") {
		t.Errorf("the log does not name the pack:\n%s", log)
	}
	if strings.Contains(w.logText(s)+worker.err.String()+strings.Join(registry.asked(), ""), packToken) {
		t.Error("the token is shown")
	}
	wantEmptyWorkDir(t, w)
}

// TestPacksThatAreNotTaken ends each with its reason.
func TestPacksThatAreNotTaken(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_PACK_REGISTRIES=" + registry.url + "/acme/packs", "DISPATCHD_PACK_TOKEN_OURS=" + packToken}})
	w.start()
	repository := pushHello(t, "refused", "v1")
	good := params{
		"pack": "webapp", "registrySource": registry.url + "/acme/packs", "registryRef": "v1", "registryToken": "var.DISPATCHD_PACK_TOKEN_OURS",
	}
	for name, c := range map[string]struct {
		change       params
		reason, text string
	}{
		"another registry":      {params{"registrySource": "github.com/somebody/packs"}, "unsupported", "github.com/somebody/packs is not in DISPATCHD_PACK_REGISTRIES"},
		"a ref that is not":     {params{"registryRef": "v9"}, "git_ref_not_found", "acme/packs@v9"},
		"a pack that is not":    {params{"pack": "webap"}, "render_failed", `did you mean "webapp"?`},
		"a secret of ours":      {params{"registryToken": "var.NOMAD_TOKEN"}, "git_auth", "it needs a token"},
		"another's token":       {params{"registryToken": "not-the-token"}, "git_auth", "refused the token"},
		"a pack with another's": {params{"pack": "batch"}, "render_failed", "packs with dependencies are not supported"},
	} {
		r := w.failed(w.send(image(t, "refused", repository, "v1").with(params{"registry": mergedParams(good, c.change)})), patience, c.reason, "render")
		if !strings.Contains(r.Message, c.text) {
			t.Errorf("%s: the message is %q, want %q in it", name, r.Message, c.text)
		}
	}
	wantEmptyWorkDir(t, w)
}

func mergedParams(base, change params) params {
	return task{params: base}.with(change).params
}
