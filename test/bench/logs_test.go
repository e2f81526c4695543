//go:build e2e

package bench_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
	"github.com/dispatchd/dispatchd/test/testbed"
)

const (
	// logRounds is how often each way builds, after one that warms the base.
	logRounds = 5
	logLines  = 2000
)

// The steps of two builds: one that takes its time for 2,000 lines, as builds
// do, and one that says ten times as much as fast as it can.
const (
	steadyStep = `i=0; while [ $i -lt 2000 ]; do echo "line $i: compiling a package with a name of usual length"; usleep 1000; i=$((i+1)); done`
	burstStep  = `i=0; while [ $i -lt 20000 ]; do echo "line $i: compiling a package with a name of usual length"; i=$((i+1)); done`
)

// BenchmarkLogPath builds the same with and without its log being published.
// What differs is our side alone: BuildKit sends the lines in any case.
func BenchmarkLogPath(b *testing.B) {
	if err := testbed.CheckHost(); err != nil {
		b.Skip(err)
	}
	y := newYard(b)
	p := newPlatform(b, startServer(b), "logs")
	publisher := newPublisher(b, p)
	for _, c := range []struct{ name, step, goal string }{{"2,000 lines", steadyStep, "< 1.02"}, {"20,000 lines at once", burstStep, ""}} {
		b.Run(c.name, func(b *testing.B) { compareLogs(b, y, publisher, c.name, c.step, c.goal) })
	}
}

func compareLogs(b *testing.B, y *yard, publisher *events.Publisher, name, step, goal string) {
	ways := []func() time.Duration{
		func() time.Duration { return y.buildQuietly(b, step) },
		func() time.Duration { return y.buildAloud(b, publisher, step) },
	}
	ways[0]()
	var took [2][]time.Duration
	var ratios []float64
	for b.Loop() {
		for round := range logRounds {
			for turn := range ways {
				who := (turn + round) % len(ways)
				took[who] = append(took[who], ways[who]())
			}
			last := len(took[0]) - 1
			ratios = append(ratios, float64(took[1][last])/float64(took[0][last]))
		}
	}
	quiet, aloud, ratio := median(took[0]), median(took[1]), median(ratios)
	shown := fmt.Sprintf("%.3f (%s beside %s)", ratio, ms(aloud), ms(quiet))
	if goal == "" {
		results.note("log path, "+name, "%s", shown)
	} else {
		results.judge("log path, "+name, shown, goal, ratio < 1.02)
	}
	b.ReportMetric(ratio, "ratio")
}

// yard is where images are built: BuildKit, a registry and a base image.
type yard struct {
	bed    *testbed.Bed
	client *buildkit.Client
	base   string
	built  int
}

func newYard(b *testing.B) *yard {
	b.Helper()
	bed, err := testbed.Start(b.Context(), testbed.Options{Need: testbed.NeedBuildKit | testbed.NeedRegistry, Log: os.Stderr})
	must(b, err)
	b.Cleanup(func() { must(b, bed.Close()) })
	client, err := buildkit.New(buildkit.Options{Address: bed.BuildKit.Addr()})
	must(b, err)
	base, err := bed.PushBase(b.Context())
	must(b, err)
	return &yard{bed: bed, client: client, base: base}
}

// request asks for an image that was never built before.
func (y *yard) request(b *testing.B, step string) tasks.BuildRequest {
	b.Helper()
	y.built++
	dir := b.TempDir()
	dockerfile := fmt.Sprintf("FROM %s\nRUN echo %d && %s\n", y.base, y.built, step)
	must(b, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600))
	return tasks.BuildRequest{
		Builder: tasks.BuilderDocker, Dir: dir, Context: ".", Dockerfile: "Dockerfile",
		Name: y.bed.Registry.Addr() + "/apps/logs", Tag: "1", Credentials: y.credentials(),
	}
}

func (y *yard) credentials() tasks.Credentials {
	return tasks.Credentials{Username: y.bed.Login.Username, Password: tasks.Secret(y.bed.Login.Password)}
}

// quiet is a reporter that nobody listens to.
type quiet struct{}

func (quiet) Stage(tasks.Stage) {}
func (quiet) Stdout() io.Writer { return io.Discard }
func (quiet) Stderr() io.Writer { return io.Discard }

func (y *yard) buildQuietly(b *testing.B, step string) time.Duration {
	b.Helper()
	request := y.request(b, step)
	began := time.Now()
	_, err := y.client.Build(b.Context(), request, quiet{})
	must(b, err)
	return time.Since(began)
}

// buildAloud is done when the server has the last line.
func (y *yard) buildAloud(b *testing.B, publisher *events.Publisher, step string) time.Duration {
	b.Helper()
	request := y.request(b, step)
	id := tasks.NewID()
	redactor := redact.New("a-secret-that-is-looked-for-in-every-line")
	began := time.Now()
	stream, err := publisher.Open(b.Context(), worker.Subject{
		Task: tasks.Task{ID: id, Kind: tasks.KindDeployRepository, Deploy: &tasks.Deploy{JobID: "logs", DeploymentID: id}}, Redactor: redactor,
	})
	must(b, err)
	defer stream.Close()
	_, err = y.client.Build(b.Context(), request, stream)
	must(b, err)
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	last, err := stream.Flush(ctx)
	must(b, err)
	took := time.Since(began)
	if last < logLines {
		b.Fatalf("the log has %d lines, want at least %d", last, logLines)
	}
	return took
}

// newPublisher publishes as the service does.
func newPublisher(b *testing.B, p *platform) *events.Publisher {
	b.Helper()
	return events.NewPublisher(p.nc, p.js, events.Options{
		Subjects: events.NewSubjects(p.topology.Prefix, ""), Stream: p.topology.Events(),
		Log: quietLog(b), Metrics: events.NewMetrics(prometheus.NewRegistry()),
	})
}
