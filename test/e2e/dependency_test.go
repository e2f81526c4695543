//go:build e2e

package e2e_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestADependencyThatMisbehavesIsNamedAndTriedAgain breaks Nomad and BuildKit
// in each way, reads the one sentence, heals them, and the same
// task reaches its end.
func TestADependencyThatMisbehavesIsNamedAndTriedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault fault
	}{
		{"refuses", refuses}, {"hangs", hangs}, {"breaks", breaks}, {"answers garbage", lies},
	} {
		t.Run("Nomad "+c.name, func(t *testing.T) {
			t.Parallel()
			nomad := before(t, shared.bed.Nomad.Addr())
			w := newWorld(t, worldOptions{env: []string{"NOMAD_ADDR=http://" + nomad.address}})
			w.start()
			nomad.set(c.fault)
			s := w.send(image(t, "nomad-away", pushHello(t, "nomad-away", "1"), "1"))
			wantTriedAgain(t, w, s, nomad, "Nomad")
			w.succeeded(s, patience)
		})
	}
	for _, c := range []struct {
		name  string
		fault fault
	}{
		{"refuses", refuses}, {"hangs", hangs}, {"answers garbage", lies},
	} {
		t.Run("BuildKit "+c.name, func(t *testing.T) {
			t.Parallel()
			buildkit := beforeSocket(t, strings.TrimPrefix(shared.bed.BuildKit.Addr(), "unix://"))
			source := newSource(t, running(t, "1", "true"))
			w := newWorld(t, worldOptions{env: []string{github(source), "BUILDKIT_HOST=tcp://" + buildkit.address}})
			w.start()
			buildkit.set(c.fault)
			s := w.send(repository(t, "builder-away", "acme/app").with(params{"deploy": "noop"}))
			wantTriedAgain(t, w, s, buildkit, "build")
			w.succeeded(s, patience)
		})
	}
}

// TestARegistryOfOursThatMisbehavesIsTriedAgain: the worker has credentials for
// it, so it waits until the registry answers and pins the digest.
func TestARegistryOfOursThatMisbehavesIsTriedAgain(t *testing.T) {
	t.Parallel()
	pushHello(t, "registry-away", "1")
	for _, c := range []struct {
		name  string
		fault fault
	}{
		{"refuses", refuses}, {"hangs", hangs}, {"breaks", breaks},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			registry := before(t, "http://"+shared.bed.Registry.Addr())
			w := newWorld(t, worldOptions{env: []string{"DISPATCHD_REGISTRY_HOST=" + registry.address}})
			w.start()
			registry.set(c.fault)
			s := w.send(image(t, "registry-away", registry.address+"/images/registry-away", "1"))
			wantTriedAgain(t, w, s, registry, "registry "+registry.address)
			// Nomad's client has no login for this address; what it was asked to pull is the digest.
			r := w.failed(s, patience, "image_pull_failed", "watch")
			wantAll(t, "the failure", r.Message, registry.address+"/images/registry-away@sha256:")
		})
	}
}

// TestARegistryOfOthersThatMisbehavesIsNamed: where the worker cannot read the
// image it leaves that to Nomad's clients, and says why in the log and the header.
func TestARegistryOfOthersThatMisbehavesIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault fault
		says  string
	}{
		{"refuses", refuses, "cannot be reached"},
		{"hangs", hangs, "did not answer in time"},
		{"breaks", breaks, "answered with status 500"},
		{"answers garbage", lies, "did not answer with an image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			registry := before(t, "http://"+shared.bed.Registry.Addr())
			w := newWorld(t, worldOptions{})
			w.start()
			registry.set(c.fault)
			s := w.send(image(t, "registry-away", registry.address+"/images/registry-away", "1"))
			r := w.failed(s, patience, "image_pull_failed", "watch")
			says := "registry " + registry.address + " " + c.says
			wantAll(t, "the log", w.logText(s), says)
			wantAll(t, "the header", w.said(s, "deployment.failed")[0].header.Get("Dispatch-Warning"), says)
			wantAll(t, "the failure", r.Message, registry.address+"/images/registry-away:1")
		})
	}
}

// wantTriedAgain waits for the line that says what is wrong, checks that it is
// a sentence, and heals the dependency.
func wantTriedAgain(t *testing.T, w *world, s *sent, f *front, names string) {
	t.Helper()
	w.sees(s, "trying again in", patience)
	f.set(healthy)
	for line := range strings.Lines(w.logText(s)) {
		if before, _, found := strings.Cut(line, "; trying again in"); found {
			_, sentence, _ := strings.Cut(before, ": ")
			w.wantSentence(sentence)
			wantAll(t, "the sentence", sentence, names)
			t.Log(sentence)
			return
		}
	}
}

// TestReadinessNamesWhatIsAway: the service starts without Nomad, BuildKit and
// registry, is alive, and says who does not answer.
func TestReadinessNamesWhatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{env: []string{
		"NOMAD_ADDR=http://127.0.0.1:1", "BUILDKIT_HOST=tcp://127.0.0.1:1", "DISPATCHD_REGISTRY=127.0.0.1:1/apps",
	}})
	worker := w.start()
	if status, _ := ask(t, worker.address()+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d, want 200", status)
	}
	eventually(t, 20*time.Second, "/readyz names all three", func() bool {
		status, text := ask(t, worker.address()+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "nomad") && strings.Contains(text, "buildkit") && strings.Contains(text, "registry")
	})
}

func ask(t *testing.T, url string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(brief(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestFullDiskIsNamedAndTriedAgain gives the worker a disk that is too small
// for the clone, and then a larger one.
func TestFullDiskIsNamedAndTriedAgain(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
	t.Cleanup(func() { mount(t, "umount", "-l", disk) })
	source := newSource(t, running(t, "1", "true"))
	w := newWorld(t, worldOptions{env: []string{github(source), "DISPATCHD_WORK_DIR=" + disk}})
	w.start()
	s := w.send(repository(t, "full-disk", "acme/app").with(params{"deploy": "noop"}))
	w.sees(s, "the worker's disk is full; trying again in", patience)
	mount(t, "mount", "-o", "remount,size=200m", disk)
	w.succeeded(s, patience)
}

func mount(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// TestRunRefusesAStatusSubjectWithoutAStream names the subject.
func TestRunRefusesAStatusSubjectWithoutAStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	if err := w.js.DeleteStream(brief(t), w.events()); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, w.env, "run")
	if code := p.exit(20 * time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	wantAll(t, "the error", p.err.tail(1), w.subject("deployment.succeeded"), w.subject("job.destroyed"), "no stream covers")
}
