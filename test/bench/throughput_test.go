//go:build e2e

package bench_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

const (
	// roundTasks is how many tasks one round works off; a warm-up takes fewer.
	roundTasks  = 2000
	warmUpTasks = 300
	rounds      = 3
)

// BenchmarkThroughput works off deployments whose steps do nothing, so that
// all that is left is the cost of the promises: a claim, IN_PROGRESS, one
// outcome, the end of the log, the acknowledgement.
func BenchmarkThroughput(b *testing.B) {
	url := startServer(b)
	ours := &whole{platform: newPlatform(b, url, "ours"), dir: memoryDir(b)}
	cost := countRequests(b, ours)
	results.note("requests of one task", "%s", cost)
	contenders := []contender{
		{"bare pull and double ack", (&bare{platform: newPlatform(b, url, "bare")}).run},
		{"the same and as many requests", (&bare{platform: newPlatform(b, url, "requests"), cost: cost}).run},
		{"dispatchd", ours.run},
		{"dispatchd, work directories on the disk", (&whole{platform: newPlatform(b, url, "disk"), dir: b.TempDir()}).run},
	}
	for _, slots := range []int{10, 50} {
		b.Run(fmt.Sprintf("%d-slots", slots), func(b *testing.B) { compare(b, contenders, slots) })
	}
}

// contender works off n tasks with so many slots and returns how long it took.
type contender struct {
	name string
	run  func(b *testing.B, slots, n int) time.Duration
}

// The places of the two that are compared.
const (
	asManyRequests = 1
	oursInMemory   = 2
)

// compare lets the contenders take turns.
func compare(b *testing.B, contenders []contender, slots int) {
	for _, c := range contenders {
		c.run(b, slots, warmUpTasks)
	}
	speeds := make([][]float64, len(contenders))
	var ratios []float64
	for b.Loop() {
		for range rounds {
			for i, c := range contenders {
				took := c.run(b, slots, roundTasks)
				speeds[i] = append(speeds[i], roundTasks/took.Seconds())
			}
			last := len(speeds[0]) - 1
			ratios = append(ratios, speeds[oursInMemory][last]/speeds[asManyRequests][last])
		}
	}
	for i, c := range contenders {
		results.note(fmt.Sprintf("%d slots: %s", slots, c.name), "%.0f tasks/s", median(speeds[i]))
	}
	ratio := median(ratios)
	results.judge(fmt.Sprintf("%d slots: dispatchd beside as many requests", slots), fmt.Sprintf("%.2f", ratio), "≥ 0.60", ratio >= 0.6)
	b.ReportMetric(median(speeds[oursInMemory]), "tasks/s")
	b.ReportMetric(ratio, "ratio")
}

// fill puts n tasks into the queue.
func (p *platform) fill(b *testing.B, n int) {
	b.Helper()
	for range n {
		id := tasks.NewID()
		body := fmt.Sprintf(`{"task":"deploy-image","params":{"jobId":"app-%s","imageName":"registry.example.com/acme/app","imageTag":"1",`+
			`"deploymentId":"dep-%s","deploymentJobId":456,"serviceId":"srv-1","teamId":"team-7","userId":42,"ownerId":"own-9",`+
			`"cpu":100,"ram":64,"networks":[{"portNumber":8080,"portType":"http"}]}}`, id, id)
		_, err := p.js.PublishAsync(p.topology.TaskSubject("deploy-image", "app-"+id, id), []byte(body), jetstream.WithStallWait(5*time.Second))
		must(b, err)
	}
	select {
	case <-p.js.PublishAsyncComplete():
	case <-brief(b).Done():
		b.Fatal("the server did not take the tasks")
	}
}

// whole is the real path: pool, queue, run records and publisher, with a work
// directory for each task under dir.
type whole struct {
	platform *platform
	dir      string
}

// memoryDir is a directory that is not on a disk, where the system has one: to
// make a directory costs some disks as much as all messages of a task.
func memoryDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dispatchd-bench-") //nolint:usetesting // that would be on the disk
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// nothing is a handler without steps.
type nothing struct{}

func (nothing) Handle(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
	return tasks.Result{}, nil
}

func (w *whole) run(b *testing.B, slots, n int) time.Duration {
	b.Helper()
	w.platform.fill(b, n)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var left atomic.Int64
	left.Store(int64(n))
	var took time.Duration
	began := time.Now()
	pool := w.pool(b, slots, func(s worker.Settlement) {
		if !s.Succeeded() {
			b.Errorf("a task failed: %s", s.Message)
		}
		if left.Add(-1) == 0 {
			took = time.Since(began)
			stop()
		}
	})
	began = time.Now()
	pool.Run(ctx)
	return took
}

func (w *whole) pool(b *testing.B, slots int, settled func(worker.Settlement)) *worker.Pool {
	b.Helper()
	p, ctx := w.platform, brief(b)
	leases, err := queue.NewLeases(ctx, p.js, p.topology, "bench")
	must(b, err)
	source, err := queue.NewJetStream(ctx, p.nc, leases)
	must(b, err)
	runs, err := queue.NewRuns(ctx, p.js, p.topology, "bench")
	must(b, err)
	workspace, err := worker.OpenWorkspace(w.dir)
	must(b, err)
	b.Cleanup(func() { _ = workspace.Close() })
	redactor, log := redact.New(), quietLog(b)
	registry := prometheus.NewRegistry()
	publisher := events.NewPublisher(p.nc, p.js, events.Options{
		Subjects: events.NewSubjects(p.topology.Prefix, ""), Stream: p.topology.Events(), Log: log, Metrics: events.NewMetrics(registry),
	})
	return worker.New(source, runs, publisher, nothing{}, worker.Options{
		Slots: slots, DrainTimeout: time.Minute, Heartbeat: p.topology.Pace.Beat(), OnSettled: settled,
		Workspace: workspace, Redactor: redactor, Log: log, Metrics: worker.NewMetrics(registry),
	})
}

// quietLog formats each line and throws it away.
func quietLog(b *testing.B) *zap.Logger {
	b.Helper()
	log, err := logging.New(logging.Options{Level: "info", Format: "json", Out: io.Discard}, redact.New())
	must(b, err)
	return log
}
