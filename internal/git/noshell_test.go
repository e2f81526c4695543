package git_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git"
)

// Variables with which this test runs itself once more where no shell is.
const (
	noShellWeb, noShellSSH = "GIT_TEST_NO_SHELL_WEB", "GIT_TEST_NO_SHELL_SSH"
	noShellKey, noShellDir = "GIT_TEST_NO_SHELL_KEY", "GIT_TEST_NO_SHELL_DIR"
)

// The container has no shell: whatever git would run with one fails there.
func TestNothingNeedsAShell(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("needs root on Linux to hide the shells from a process")
	}
	w := newWorld(t, plain(nil), nil)
	s := newSSH(t, w.server)
	lib := w.put("acme/lib", plain(map[string]string{"lib": ""}))
	c := withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": lib})
	c.Files[".gitattributes"], c.Files["large.bin"] = attributes, w.server.PutLFS("large")
	w.put("acme/api", c)
	if err := s.AnswerLFS(`{"href":"` + w.url + `/acme/api.git/info/lfs"}`); err != nil {
		t.Fatal(err)
	}
	hide := fmt.Sprintf("for s in /bin/sh /bin/bash /bin/dash; do test -e $s && mount --bind /bin/false $s; done; exec %s -test.run='^TestHelperWithoutAShell$'", os.Args[0])
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation=private", "sh", "-c", hide)
	cmd.Env = append(os.Environ(), noShellWeb+"="+w.url, noShellSSH+"="+s.URL, noShellKey+"="+s.private+s.hosts, noShellDir+"="+w.work)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "Operation not permitted") || strings.Contains(string(out), "permission denied") {
		t.Skipf("cannot hide the shells here: %s", out)
	}
	if err != nil {
		t.Fatalf("clones without a shell: %v: %s", err, out)
	}
	for _, dir := range []string{"token", "deploy key"} {
		wantFiles(t, filepath.Join(w.work, dir), map[string]string{"large.bin": "large", "lib/lib": "", "own": "own\n"})
	}
}

// TestHelperWithoutAShell is the other half of TestNothingNeedsAShell.
func TestHelperWithoutAShell(t *testing.T) { //nolint:paralleltest // the only test of its process
	work := os.Getenv(noShellDir)
	if work == "" {
		t.Skip("is run by TestNothingNeedsAShell")
	}
	if err := exec.CommandContext(t.Context(), "/bin/sh", "-c", "true").Run(); err == nil {
		t.Fatal("there is a shell")
	}
	end := strings.LastIndexByte(os.Getenv(noShellKey), '\n') + 1
	key, hosts := os.Getenv(noShellKey)[:end], os.Getenv(noShellKey)[end:]
	c := newClient(t, os.Getenv(noShellWeb), git.Options{GitHubSSHURL: os.Getenv(noShellSSH), KnownHosts: hosts})
	for dir, credential := range map[string]string{"token": planted, "deploy key": key} {
		from := source(credential)
		from.History = true
		if _, err := c.Clone(t.Context(), from, filepath.Join(work, dir), &reporter{}); err != nil {
			t.Error(err)
		}
	}
}
