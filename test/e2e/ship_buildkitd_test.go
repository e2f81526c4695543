//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// startBuildkitd runs its job and returns the socket.
func startBuildkitd(t *testing.T, driver string) string {
	t.Helper()
	dir, err := os.MkdirTemp(shared.bed.SlotDir(), "bk") //nolint:usetesting // a socket's path is short, and a test's directory is not
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "buildkitd.sock")
	if driver == "docker" && !mayPrivilege(t) {
		t.Log("this host gives no container all privileges: buildkitd runs from its file as a program, and dispatchd in a container")
		driver = "raw_exec"
	}
	v := vars{
		"driver": driver, "socket_dir": dir, "cache_dir": filepath.Join(dir, "cache"), "program": shared.bed.Tools.BuildKitd, "memory": "1024", "cpu": "500",
		"insecure_registries": `["` + shared.bed.Registry.Addr() + `"]`, "network_mode": "host",
	}
	if driver == "docker" {
		v["image"] = buildkitImage(t)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	job := newName("buildkitd")
	runJob(t, buildkitdJob, job, v)
	var said []byte
	eventually(t, patience, "buildkitd of the job answers", func() bool {
		said, err = exec.CommandContext(brief(t), shared.bed.Tools.BuildCtl, "--addr", "unix://"+socket, "debug", "workers", "-v").CombinedOutput()
		return err == nil
	})
	for _, want := range []string{"Maximum used space:", "Minimum free space:"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("buildkitd's rules have no %q:\n%s", want, said)
		}
	}
	wantRefused(t, socket, "not an allowed gateway source", "--frontend", "gateway.v0", "--opt", "source=registry.example/frontend")
	wantRefused(t, socket, "security.insecure is not allowed", "--frontend", "dockerfile.v0", "--allow", "security.insecure")
	return socket
}

// wantRefused asks for a build that the daemon's configuration does not allow.
func wantRefused(t *testing.T, socket, why string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--addr", "unix://" + socket, "build", "--local", "context=" + dir, "--local", "dockerfile=" + dir}, args...)
	out, err := exec.CommandContext(brief(t), shared.bed.Tools.BuildCtl, args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), why) {
		t.Errorf("buildctl %q: %v, want %q in:\n%s", args, err, why, out)
	}
}

// mayPrivilege reports whether this host has every capability, as a privileged
// container must: one that is a container or a sandbox itself may lack some.
func mayPrivilege(t *testing.T) bool {
	t.Helper()
	bounds := regexp.MustCompile(`CapBnd:\s*(\w+)`).FindStringSubmatch(readFile(t, "/proc/self/status"))
	last, err := strconv.Atoi(strings.TrimSpace(readFile(t, "/proc/sys/kernel/cap_last_cap")))
	if err != nil {
		t.Fatal(err)
	}
	has, err := strconv.ParseUint(bounds[1], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return has == 1<<(last+1)-1
}

// buildkitImage is buildkitd with runc on Debian.
func buildkitImage(t *testing.T) string {
	t.Helper()
	debian, err := shared.bed.PushDebian(t.Context(), testbed.Options{Log: os.Stderr}, builder)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "FROM " + debian + "\nCOPY --from=programs buildkitd buildctl /usr/bin/\nENTRYPOINT [\"buildkitd\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ref, err := shared.bed.BuildImage(t.Context(), testbed.ImageBuild{
		Context: dir, Dockerfile: "Dockerfile", Repository: "base/buildkit",
		Contexts: map[string]string{"programs": filepath.Dir(shared.bed.Tools.BuildKitd)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
