//go:build e2e

package bench_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
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
	roundTasks  = 1000
	warmUpTasks = 200
	rounds      = 5
)

// BenchmarkThroughput works off deployments whose steps do nothing, so that
// all that is left is the cost of the promises: a lease, a claim, IN_PROGRESS,
// one outcome, the end of the log, the acknowledgement.
func BenchmarkThroughput(b *testing.B) {
	server := startServer(b)
	ours := &whole{platform: newPlatform(b, server, "ours"), dir: memoryDir(b)}
	all := countRequests(b, ours)
	results.note("requests of one task", "%s", all)
	writes := cost{writes: all.writes, deletes: all.deletes, bytes: all.bytes}
	other := buildAsyncjobs(b)
	for _, slots := range []int{10, 50} {
		contenders := []contender{
			{"bare pull and double ack", (&bare{platform: newPlatform(b, server, "bare")}).run},
			{"the same and as many writes", (&bare{platform: newPlatform(b, server, "writes"), cost: writes}).run},
			{"the same and as many requests", (&bare{platform: newPlatform(b, server, "requests"), cost: all}).run},
			{"dispatchd", ours.run},
			{"dispatchd, work directories on the disk", (&whole{platform: newPlatform(b, server, "disk"), dir: b.TempDir()}).run},
		}
		if other != "" {
			contenders = append(contenders, contender{"asyncjobs", startAsyncjobs(b, other, server, slots).run})
		}
		b.Run(fmt.Sprintf("%d-slots", slots), func(b *testing.B) { compareSpeeds(b, contenders, slots) })
	}
}

// The places of those that are compared.
const (
	asManyWrites   = 1
	asManyRequests = 2
	oursInMemory   = 3
	asyncjobs      = 5
)

// compareSpeeds lets the contenders take turns and judges the ratios.
func compareSpeeds(b *testing.B, contenders []contender, slots int) {
	took := takeTurns(b, contenders, slots)
	where := fmt.Sprintf("%d slots: ", slots)
	for i, c := range contenders {
		results.note(where+c.name, "%s", took.show(i))
	}
	writes, requests := took.ratios(oursInMemory, asManyWrites), took.ratios(oursInMemory, asManyRequests)
	results.judge(where+"dispatchd beside as many writes", spread(writes), "≥ 0.60", median(writes) >= 0.6)
	results.judge(where+"dispatchd beside as many requests", spread(requests), "≥ 0.60", median(requests) >= 0.6)
	if asyncjobs < len(contenders) {
		others := took.ratios(oursInMemory, asyncjobs)
		results.judge(where+"dispatchd beside asyncjobs", spread(others), "≥ 4.00", median(others) >= 4)
	}
	b.ReportMetric(median(took.speeds(oursInMemory)), "tasks/s")
	b.ReportMetric(median(writes), "ratio")
}

// fill puts n deployments of as many jobs into the queue.
func (p *platform) fill(b *testing.B, n int) {
	b.Helper()
	p.queue(b, n, func(id string) (subject, body string) {
		return p.topology.TaskSubject("deploy-image", "app-"+id, id), deployBody("app-"+id, id)
	})
}

func deployBody(job, id string) string {
	return fmt.Sprintf(`{"task":"deploy-image","params":{"jobId":"%s","imageName":"registry.example.com/acme/app","imageTag":"1",`+
		`"deploymentId":"dep-%s","deploymentJobId":456,"serviceId":"srv-1","teamId":"team-7","userId":42,"ownerId":"own-9",`+
		`"cpu":100,"ram":64,"networks":[{"portNumber":8080,"portType":"http"}]}}`, job, id)
}

// queue publishes n tasks, each with a new id.
func (p *platform) queue(b *testing.B, n int, task func(id string) (subject, body string)) {
	b.Helper()
	for range n {
		subject, body := task(tasks.NewID())
		_, err := p.js.PublishAsync(subject, []byte(body), jetstream.WithStallWait(30*time.Second))
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
	// change may leave out a part; nil leaves out none.
	change func(*parts)
	// handler is nothing{} where nil.
	handler worker.Handler
}

// parts are what a pool works with.
type parts struct {
	queue     worker.Queue
	runs      worker.Runs
	publisher worker.Publisher
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

func (w *whole) run(b *testing.B, slots, n int) spent {
	b.Helper()
	return runAll(b, []*whole{w}, slots, n)
}

// runAll lets several workers work off n tasks of one platform.
func runAll(b *testing.B, workers []*whole, slots, n int) spent {
	b.Helper()
	p := workers[0].platform
	p.fill(b, n)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	clock := p.startClock(n, stop)
	pools := make([]*worker.Pool, len(workers))
	for i, w := range workers {
		pools[i] = w.pool(b, slots, func(s worker.Settlement) {
			if !s.Succeeded() {
				b.Errorf("a task failed: %s", s.Message)
			}
			clock.ended()
		})
	}
	clock.start()
	var running sync.WaitGroup
	for _, pool := range pools {
		running.Go(func() { pool.Run(ctx) })
	}
	running.Wait()
	return clock.result
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
	log, registry := quietLog(b), prometheus.NewRegistry()
	used := parts{source, runs, events.NewPublisher(p.nc, p.js, events.Options{
		Subjects: events.NewSubjects(p.topology.Prefix, ""), Stream: p.topology.Events(), Log: log, Metrics: events.NewMetrics(registry),
	})}
	if w.change != nil {
		w.change(&used)
	}
	handler := w.handler
	if handler == nil {
		handler = nothing{}
	}
	return worker.New(used.queue, used.runs, used.publisher, handler, worker.Options{
		Slots: slots, DrainTimeout: time.Minute, Heartbeat: p.topology.Pace.Beat(), OnSettled: settled,
		Workspace: workspace, Redactor: redact.New(), Log: log, Metrics: worker.NewMetrics(registry),
	})
}

// quietLog formats each line and throws it away.
func quietLog(b *testing.B) *zap.Logger {
	b.Helper()
	log, err := logging.New(logging.Options{Level: "info", Format: "json", Out: io.Discard}, redact.New())
	must(b, err)
	return log
}
