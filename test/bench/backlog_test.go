//go:build e2e

package bench_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

const (
	// queuedTasks wait while the memory of a worker is looked at; it works off
	// watchedTasks of them meanwhile.
	queuedTasks  = 100_000
	watchedTasks = 10_000
	// blockedTasks of one job wait while another job's task comes.
	blockedTasks = 50_000
)

// BenchmarkQueuedMemory looks at a real worker process with an empty queue, with
// a long one that it works off, and after that. Its tasks destroy jobs that a
// stand-in for Nomad does not know.
func BenchmarkQueuedMemory(b *testing.B) {
	nomad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/jobs" {
			_, _ = w.Write([]byte("[]"))
			return
		}
		http.Error(w, "job not found", http.StatusNotFound)
	}))
	b.Cleanup(nomad.Close)
	p := newPlatform(b, startServer(b), "memory")
	s := startService(b, p.environ(b, "NOMAD_ADDR="+nomad.URL, "DISPATCHD_SLOTS=10"))
	for b.Loop() {
		p.queueDestroys(b, watchedTasks)
		p.untilLeft(b, 0)
		rest(b, 2*time.Second)
		idle := s.memory(b, "VmRSS")
		s.forgetPeak(b)
		p.queueDestroys(b, watchedTasks)
		p.untilLeft(b, 0)
		short := s.memory(b, "VmHWM")
		s.forgetPeak(b)
		p.queueDestroys(b, queuedTasks)
		p.untilLeft(b, queuedTasks-watchedTasks)
		long := s.memory(b, "VmHWM")
		must(b, p.purge(b))
		rest(b, 2*time.Second)
		after := s.memory(b, "VmRSS")
		results.judge(fmt.Sprintf("memory of a worker while %d tasks are queued", queuedTasks),
			fmt.Sprintf("%s at most (%s while %d are); %s before, %s after", mb(long), mb(short), watchedTasks, mb(idle), mb(after)),
			"flat: < 10 MB more", long-short < 10e6)
	}
}

// queueDestroys puts n tasks of as many jobs into the queue.
func (p *platform) queueDestroys(b *testing.B, n int) {
	b.Helper()
	p.queue(b, n, func(id string) (subject, body string) {
		return p.topology.TaskSubject("destroy-job-pack", "app-"+id, id),
			fmt.Sprintf(`{"task":"destroy-job-pack","params":{"jobs":[{"jobId":"app-%s","serviceId":"srv"}],"reason":"delete"}}`, id)
	})
}

// untilLeft waits until no more than so many tasks are in the queue.
func (p *platform) untilLeft(b *testing.B, most uint64) {
	b.Helper()
	eventually(b, 5*time.Minute, fmt.Sprintf("%d tasks are left", most), func() bool { return p.waiting(b) <= most })
}

func (p *platform) waiting(b *testing.B) uint64 {
	b.Helper()
	stream, err := p.js.Stream(brief(b), p.topology.Tasks())
	must(b, err)
	return stream.CachedInfo().State.Msgs
}

func (p *platform) purge(b *testing.B) error {
	b.Helper()
	stream, err := p.js.Stream(brief(b), p.topology.Tasks())
	must(b, err)
	return stream.Purge(brief(b))
}

// BenchmarkBlocked queues tens of thousands of tasks of one job, the first of
// which does not end, and measures when another job's task begins: one that was
// queued behind them before anybody had looked at them, and then others that come
// while they all wait.
func BenchmarkBlocked(b *testing.B) {
	p := newPlatform(b, startServer(b), "blocked")
	gate := &gate{begun: make(chan string, 16), open: make(chan struct{})}
	w := &whole{platform: p, dir: memoryDir(b), handler: gate}
	for b.Loop() {
		p.queueOfJob(b, "busy", blockedTasks)
		p.queueOfJob(b, "cold", 1)
		ctx, stop := context.WithCancel(b.Context())
		var running sync.WaitGroup
		pool := w.pool(b, partsSlots, func(worker.Settlement) {})
		began := time.Now()
		running.Go(func() { pool.Run(ctx) })
		cold := gate.waitBoth(b, "busy", "cold").Sub(began)
		var warm []time.Duration
		for i := range 5 {
			rest(b, 3*time.Second)
			began := time.Now()
			job := fmt.Sprintf("warm%d", i)
			p.queueOfJob(b, job, 1)
			gate.wait(b, job)
			warm = append(warm, time.Since(began))
		}
		must(b, p.purge(b))
		close(gate.open)
		stop()
		running.Wait()
		results.note(fmt.Sprintf("%d tasks of one job, nobody has looked at them yet", blockedTasks),
			"another job's task behind them begins after %.1f s (%.0f tasks/s are handed back)", cold.Seconds(), blockedTasks/cold.Seconds())
		results.judge(fmt.Sprintf("%d blocked tasks of one job, another job's task begins", blockedTasks),
			fmt.Sprintf("after %s", ms(median(warm))), "seconds", median(warm) < 5*time.Second)
	}
}

// queueOfJob puts n deployments of one job into the queue.
func (p *platform) queueOfJob(b *testing.B, job string, n int) {
	b.Helper()
	p.queue(b, n, func(id string) (subject, body string) {
		return p.topology.TaskSubject("deploy-image", job, id), deployBody(job, id)
	})
}

// gate is a handler whose tasks of the job "busy" wait until it is open.
type gate struct {
	begun chan string
	open  chan struct{}
}

func (g *gate) Handle(ctx context.Context, t tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
	g.begun <- t.Deploy.JobID
	if strings.HasPrefix(t.Deploy.JobID, "busy") {
		select {
		case <-g.open:
		case <-ctx.Done():
		}
	}
	return tasks.Result{}, nil
}

// waitBoth returns when a task of either job has begun, and when that of the
// second one did.
func (g *gate) waitBoth(b *testing.B, first, second string) (at time.Time) {
	b.Helper()
	missing := map[string]bool{first: true, second: true}
	for len(missing) > 0 {
		select {
		case begun := <-g.begun:
			if !missing[begun] {
				b.Fatalf("a task of job %s has begun", begun)
			}
			if delete(missing, begun); begun == second {
				at = time.Now()
			}
		case <-time.After(5 * time.Minute):
			b.Fatalf("of these jobs no task has begun: %v", missing)
		}
	}
	return at
}

// wait returns when the job's task has begun.
func (g *gate) wait(b *testing.B, job string) {
	b.Helper()
	select {
	case begun := <-g.begun:
		if begun != job {
			b.Fatalf("a task of job %s has begun, not one of %s", begun, job)
		}
	case <-time.After(5 * time.Minute):
		b.Fatalf("no task of job %s has begun", job)
	}
}
