//go:build e2e

package bench_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/test/testbed"
)

// builds is how often each way builds.
const builds = 5

// BenchmarkBuild builds and pushes the sample in turns: with our builder, and
// with buildctl. Cold is a BuildKit that has forgotten everything, warm one that
// has just built the same. buildctl's time has the start of its process in it.
func BenchmarkBuild(b *testing.B) {
	if err := testbed.CheckHost(); err != nil {
		b.Skip(err)
	}
	y := newYard(b)
	dir := y.sample(b)
	config := y.dockerConfig(b)
	ways := []func(*testing.B) time.Duration{
		func(b *testing.B) time.Duration { return y.bySolve(b, dir) },
		func(b *testing.B) time.Duration { return y.byBuildCtl(b, dir, config) },
	}
	for _, temperature := range []string{"cold", "warm"} {
		b.Run(temperature, func(b *testing.B) { y.compareBuilds(b, temperature, ways) })
	}
}

func (y *yard) compareBuilds(b *testing.B, temperature string, ways []func(*testing.B) time.Duration) {
	var took [2][]time.Duration
	for _, way := range ways {
		way(b)
	}
	for b.Loop() {
		for round := range builds {
			for turn := range ways {
				who := (turn + round) % len(ways)
				if temperature == "cold" {
					y.forget(b)
				}
				took[who] = append(took[who], ways[who](b))
			}
		}
	}
	ours, byHand := median(took[0]), median(took[1])
	ratio := float64(ours) / float64(byHand)
	results.note("build of the sample, "+temperature, "%.2f of buildctl (%s beside %s)", ratio, ms(ours), ms(byHand))
	b.ReportMetric(ratio, "ratio")
}

// sample writes the sample, with a step that runs in its base.
func (y *yard) sample(b *testing.B) string {
	b.Helper()
	files, err := testbed.SampleRepository(b.Context(), testbed.Sample{Base: y.base})
	must(b, err)
	dir := b.TempDir()
	for name, content := range files {
		must(b, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func (y *yard) name() string { return y.bed.Registry.Addr() + "/apps/sample" }

// forget empties the cache.
func (y *yard) forget(b *testing.B) {
	b.Helper()
	output(b, exec.Command(y.bed.Tools.BuildCtl, "--addr", y.bed.BuildKit.Addr(), "prune", "--all"))
}

func (y *yard) bySolve(b *testing.B, dir string) time.Duration {
	b.Helper()
	began := time.Now()
	_, err := y.client.Build(b.Context(), tasks.BuildRequest{
		Builder: tasks.BuilderDocker, Dir: dir, Context: ".", Dockerfile: "Dockerfile",
		Name: y.name(), Tag: "1", Push: true, Credentials: y.credentials(),
	}, quiet{})
	must(b, err)
	return time.Since(began)
}

func (y *yard) byBuildCtl(b *testing.B, dir, config string) time.Duration {
	b.Helper()
	cmd := exec.Command(y.bed.Tools.BuildCtl, "--addr", y.bed.BuildKit.Addr(), "build", "--progress=plain",
		"--frontend=dockerfile.v0", "--local=context="+dir, "--local=dockerfile="+dir,
		"--output=type=image,name="+y.name()+":1,push=true")
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+config)
	began := time.Now()
	output(b, cmd)
	return time.Since(began)
}

// dockerConfig is where buildctl finds the registry's user and password.
func (y *yard) dockerConfig(b *testing.B) string {
	b.Helper()
	login := base64.StdEncoding.EncodeToString([]byte(y.bed.Login.Username + ":" + y.bed.Login.Password))
	text, err := json.Marshal(map[string]any{"auths": map[string]any{y.bed.Registry.Addr(): map[string]string{"auth": login}}})
	must(b, err)
	dir := b.TempDir()
	must(b, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
	return dir
}
