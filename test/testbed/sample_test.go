package testbed_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

func TestSampleRepositoryRevisionsDifferOnlyInTheDockerfile(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	one := sample(t, testbed.Sample{Cache: cache, Version: "1"})
	two := sample(t, testbed.Sample{Cache: cache, Version: "2", Crash: "no database"})
	for name, content := range one {
		if name != "Dockerfile" && content != two[name] {
			t.Errorf("%s differs between revisions", name)
		}
	}
	for _, want := range []string{"FROM scratch\n", `ARG VERSION="2"`, `ENV HELLO_CRASH="no database"`, "COPY --chmod=755 hello /hello\n"} {
		if !strings.Contains(two["Dockerfile"], want) {
			t.Errorf("no %q in the Dockerfile:\n%s", want, two["Dockerfile"])
		}
	}
}

func TestSampleRepositoryFromABase(t *testing.T) {
	t.Parallel()
	files := sample(t, testbed.Sample{Cache: t.TempDir(), Base: "127.0.0.1:1/base/busybox:latest", Run: "false"})
	got := files["Dockerfile"]
	if want := "FROM 127.0.0.1:1/base/busybox:latest\nRUN false\n"; !strings.HasPrefix(got, want) {
		t.Errorf("the Dockerfile begins otherwise than %q:\n%s", want, got)
	}
}

// TestSampleAppCrashes runs the binary as its image would.
func TestSampleAppCrashes(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	sample(t, testbed.Sample{Cache: cache})
	// The cached file is run, and no copy of ours: a program that this process
	// has open for writing while another test forks is "busy".
	paths, err := filepath.Glob(filepath.Join(cache, "hello", "*", "hello"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("programs in the cache: %v, %v; want one", paths, err)
	}
	cmd := exec.CommandContext(t.Context(), paths[0])
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"HELLO_CRASH=no database", "PORT=0"}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.HasSuffix(string(out), "hello: no database\n") {
		t.Errorf("it says %q and %v, want its reason and exit code 1", out, err)
	}
}

func sample(t *testing.T, s testbed.Sample) map[string]string {
	t.Helper()
	files, err := testbed.SampleRepository(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
