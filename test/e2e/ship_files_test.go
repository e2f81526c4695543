//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	unitFile    = "../../deploy/systemd/dispatchd.service"
	composeFile = "../../deploy/compose/compose.yaml"
)

// TestSystemdUnitIsSound has systemd itself read it. Nothing here is systemd's
// child, so it is not started.
func TestSystemdUnitIsSound(t *testing.T) {
	t.Parallel()
	analyze := needProgram(t, "systemd-analyze")
	text := readFile(t, unitFile)
	// Neither of these is on this machine.
	text = strings.Replace(text, "ExecStart=/usr/local/bin/dispatchd", "ExecStart="+shared.binary, 1)
	text = strings.Replace(text, "EnvironmentFile=/etc/dispatchd/dispatchd.env", "EnvironmentFile="+mustAbs(t, "../../deploy/systemd/dispatchd.env"), 1)
	unit := filepath.Join(t.TempDir(), "dispatchd.service")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// It names what it ignores and succeeds all the same.
	out, err := exec.CommandContext(t.Context(), analyze, "verify", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "dispatchd.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// The threshold is ten times the exposure, of at most 10.0.
	out, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--threshold=20", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestComposeFileIsSound has docker-compose read it. Its images cannot be had
// without a hub, so it is not started.
func TestComposeFileIsSound(t *testing.T) {
	t.Parallel()
	compose := needProgram(t, "docker-compose")
	cmd := exec.CommandContext(t.Context(), compose, "-f", composeFile, "config")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NOMAD_ADDR=", "NOMAD_TOKEN="}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docker-compose config: %v\n%s", err, out)
	}
	wantAll(t, "the composition", string(out), "buildkitd:", "dispatchd:", "nats:", "registry:", "NOMAD_ADDR: http://127.0.0.1:4646")
}

// TestSupervisorsWaitForTheDrain compares what they allow with what dispatchd takes.
func TestSupervisorsWaitForTheDrain(t *testing.T) {
	t.Parallel()
	p := startProcess(t, []string{"NATS_SERVERS=nats://127.0.0.1:1"}, "config")
	p.exit(10 * time.Second)
	drain := findDuration(t, p.out.String(), `DISPATCHD_DRAIN_TIMEOUT\s+(\w+)`)
	for file, pattern := range map[string]string{
		unitFile:    `TimeoutStopSec=(\w+)`,
		composeFile: `stop_grace_period: (\w+)`,
		serviceJob:  `(?s)variable "kill_timeout" \{.*?default\s+= "(\w+)"`,
	} {
		if got := findDuration(t, readFile(t, file), pattern); got < drain+5*time.Second {
			t.Errorf("%s gives %s, and the drain takes %s", file, got, drain)
		}
	}
	if got := findDuration(t, readFile(t, serviceJob), `(?s)variable "drain" \{.*?default\s+= "(\w+)"`); got != drain {
		t.Errorf("%s drains for %s, dispatchd for %s", serviceJob, got, drain)
	}
}

func findDuration(t *testing.T, text, pattern string) time.Duration {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing matches %s in:\n%s", pattern, text)
	}
	d, err := time.ParseDuration(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: its file is not checked", name)
	}
	return path
}
