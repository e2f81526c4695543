//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/test/testbed"
)

// overSSH serves a provider's repositories over SSH as well, to one deploy key.
type overSSH struct {
	*gittest.SSH
	key   string
	hosts string
}

func newOverSSH(t *testing.T, p *provider, repositories ...string) *overSSH {
	t.Helper()
	s, err := p.StartSSH(t.Context(), t.TempDir())
	if err != nil {
		t.Skipf("needs sshd (apt-get install --no-install-recommends openssh-server) and ssh: %v", err)
	}
	t.Cleanup(s.Close)
	key, public, err := gittest.NewKey(t.Context(), filepath.Join(t.TempDir(), "key"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AllowKey(public, repositories...); err != nil {
		t.Fatal(err)
	}
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, []byte(s.HostKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &overSSH{SSH: s, key: key, hosts: hosts}
}

// appOfParts is a repository whose program lies in LFS and whose build wants a
// file of a submodule, with the key that reads both, a worker's settings for it
// and the task.
func appOfParts(t *testing.T) (s *overSSH, env []string, k task) {
	t.Helper()
	source := newProvider(t)
	source.private("acme/lib", gitToken, map[string]string{"present": "yes\n"})
	lib := source.commit("acme/lib", map[string]string{"present": "yes\n", "second": "\n"})
	files := sample(t, testbed.Sample{Version: "1", Base: shared.base, Run: "true"})
	files["hello"] = source.PutLFS(files["hello"])
	files[".gitattributes"] = "hello filter=lfs -text\n"
	files[".gitmodules"] = "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n"
	files["Dockerfile"] += "COPY lib/present /proof/\n"
	source.private("acme/app", gitToken, map[string]string{"README.md": "first\n"})
	if _, err := source.Commit(t.Context(), "acme/app", gittest.Commit{Message: "App", Files: files, Modules: map[string]string{"lib": lib}}); err != nil {
		t.Fatal(err)
	}
	s = newOverSSH(t, source, "acme/app", "acme/lib")
	// The base64 of x-access-token:git-token-of-the-test.
	header := `{"Authorization":"Basic eC1hY2Nlc3MtdG9rZW46Z2l0LXRva2VuLW9mLXRoZS10ZXN0"}`
	if err := s.AnswerLFS(`{"href":"` + source.url + `/acme/app.git/info/lfs","header":` + header + `}`); err != nil {
		t.Fatal(err)
	}
	k = repository(t, "deploy-key", "acme/app").with(params{
		"gitPass": s.key,
		"build":   params{"builder": "csdocker", "buildArgs": params{"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}},
	})
	return s, []string{github(source), "DISPATCHD_GITHUB_SSH_URL=" + s.URL, "DISPATCHD_GIT_KNOWN_HOSTS=" + s.hosts}, k
}

// TestDeployKeyBringsSubmodulesAndLFS: the app's program lies in LFS,
// and the build wants a file of a submodule.
func TestDeployKeyBringsSubmodulesAndLFS(t *testing.T) {
	t.Parallel()
	s, env, k := appOfParts(t)
	w := newWorld(t, worldOptions{env: env})
	k = k.dispatched()
	p := w.once(k)
	if code := p.exit(patience); code != 0 {
		t.Fatalf("exit code %d, want 0:\n%s", code, p.err.tail(20))
	}
	if got, want := answer(t, k.job()), "hello from 1\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
	secret := strings.Split(s.key, "\n")[2]
	if strings.Contains(p.err.String(), secret) {
		t.Error("the key stands in the worker's log")
	}
	wantNothingLeft(t, w)
	if !strings.Contains(s.Commands(), "git-upload-pack '/acme/lib.git'") {
		t.Errorf("commands over SSH: %s, want the submodule among them", s.Commands())
	}
}

// TestUnknownHostKeyIsAFailureThatSaysWhatToDo deploys nothing.
func TestUnknownHostKeyIsAFailureThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	source := newSource(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	s := newOverSSH(t, source, "acme/app")
	w := newWorld(t, worldOptions{env: []string{github(source), "DISPATCHD_GITHUB_SSH_URL=" + s.URL}})
	k := repository(t, "unknown-host", "acme/app").with(params{"gitPass": s.key}).dispatched()
	p := w.once(k)
	if code := p.exit(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	wantAll(t, "standard error", p.err.tail(3), "is not known; put it into the file of DISPATCHD_GIT_KNOWN_HOSTS")
	wantNothingLeft(t, w)
}

// wantNothingLeft looks after run-once has ended.
func wantNothingLeft(t *testing.T, w *world) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(w.workDir, "*/*"))
	if err != nil || len(left) > 0 {
		t.Errorf("work directory after run-once: %v, %v, want it empty", left, err)
	}
}
