package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// ledger carries out tasks by writing them down. It stands for the apps that
// several programs deploy, so the workers and run-onces of a test share one.
type ledger struct {
	mu      sync.Mutex
	began   []string
	done    map[string]int
	running map[string]int
	crowded []string
	// held are the ids that do not end before their context does, or release.
	held    map[string]bool
	release chan struct{}
}

func newLedger(held ...string) *ledger {
	l := &ledger{done: map[string]int{}, running: map[string]int{}, held: map[string]bool{}, release: make(chan struct{})}
	for _, id := range held {
		l.held[id] = true
	}
	return l
}

func (l *ledger) Handle(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
	job := t.Deploy.JobID
	held := l.enter(t.ID, job)
	defer l.leave(job)
	rep.Stage(tasks.StageRegister)
	if held {
		select {
		case <-ctx.Done():
			return tasks.Result{}, context.Cause(ctx)
		case <-l.release:
		}
	}
	if err := at.Guard.Ask(ctx); err != nil {
		return tasks.Result{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[t.ID]++
	return tasks.Result{}, nil
}

func (l *ledger) enter(id, job string) (held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = append(l.began, id)
	if l.running[job]++; l.running[job] > 1 {
		l.crowded = append(l.crowded, id)
	}
	return l.held[id]
}

func (l *ledger) leave(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[job]--
}

// hold says which ids are held from now on.
func (l *ledger) hold(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.held)
	for _, id := range ids {
		l.held[id] = true
	}
}

func (l *ledger) hasBegun(ids ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if !slices.Contains(l.began, id) {
			return false
		}
	}
	return true
}

func (l *ledger) hasDone(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[id] > 0
}

// platform is a backend that can reach both: the queue and Nomad's dispatch.
type platform struct {
	t      *testing.T
	js     jetstream.JetStream
	url    string
	ledger *ledger
}

// requestOf names the n-th deployment of a job in the form of a dispatched job,
// so that a task can change from the queue to run-once and keep its id.
func requestOf(job, n int) string { return fmt.Sprintf("dispatch-17000000%02d-%02x", n, job) }

func paramsOf(job int, id string) string {
	return fmt.Sprintf(`{"jobId":"web-%d","imageName":"nginx","deploymentId":"%s","serviceId":"s","deploymentJobId":1,"deploy":"noop"}`, job, id)
}

// publish puts a task into the queue.
func (p platform) publish(job int, id string) {
	p.t.Helper()
	body, err := tasks.Encode(tasks.KindDeployImage, id, json.RawMessage(paramsOf(job, id)))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.js.Publish(p.t.Context(), fmt.Sprintf("dispatch.task.deploy-image.web-%d.%s", job, id), body); err != nil {
		p.t.Fatal(err)
	}
}

// dispatch is what Nomad does for a dispatched job. Its environment is the
// process's, so nothing else may start at the same time.
func (p platform) dispatch(job int, id string) (run func() error) {
	p.t.Helper()
	host, log := p.host(map[string]string{
		"NOMAD_META_TASK": "deploy-image", "NOMAD_META_PARAMS": paramsOf(job, id), "NOMAD_JOB_ID": "dispatchd/" + id,
	})
	return func() error {
		if err := service.RunOnce(p.t.Context(), host); err != nil {
			return fmt.Errorf("run-once of %s: %w\n%s", id, err, log)
		}
		return nil
	}
}

// work starts `dispatchd run`.
func (p platform) work() (stop func()) {
	p.t.Helper()
	host, log := p.host(map[string]string{"DISPATCHD_SLOTS": "4", "DISPATCHD_DRAIN_TIMEOUT": "50ms", "NOMAD_ADDR": "http://127.0.0.1:1"})
	return start(p.t, host, log)
}

func (p platform) host(variables map[string]string) (service.Host, *syncBuffer) {
	p.t.Helper()
	variables["NATS_SERVERS"] = p.url
	host, log := hostFor(p.t, variables)
	host.Handler = p.ledger
	host.Pace = queue.Pace{AckWait: 3 * time.Second, LeaseTTL: 2 * time.Second}
	return host, log
}

// waiting is how many tasks the queue holds.
func (p platform) waiting() uint64 {
	p.t.Helper()
	stream, err := p.js.Stream(p.t.Context(), "DISPATCH_TASKS")
	if err != nil {
		p.t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// told lists, for each task, the status events that the backend has heard.
func (p platform) told() map[string]string {
	p.t.Helper()
	stream, err := p.js.Stream(p.t.Context(), "DEPLOYMENTS")
	if err != nil {
		p.t.Fatal(err)
	}
	told := map[string]string{}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(p.t.Context(), seq)
		if err != nil {
			p.t.Fatal(err)
		}
		id := msg.Header.Get("Dispatch-Task-Id")
		told[id] = strings.TrimSpace(told[id] + " " + strings.TrimPrefix(msg.Subject, "deployment."))
	}
	return told
}

// wantEachOnce fails the test unless each task has begun and ended once for the
// backend, was done once, and no job was changed by two at a time.
func (p platform) wantEachOnce(ids []string) {
	p.t.Helper()
	told := p.told()
	for _, id := range ids {
		if got, want := told[id], "status.changed succeeded"; got != want {
			p.t.Errorf("%s: the backend heard %q, want %q", id, got, want)
		}
		if n := p.ledger.done[id]; n != 1 {
			p.t.Errorf("%s was done %d times", id, n)
		}
	}
	if len(told) != len(ids) {
		p.t.Errorf("the backend heard of %v, want %v", slices.Sorted(maps.Keys(told)), ids)
	}
	if len(p.ledger.crowded) > 0 {
		p.t.Errorf("%v ran while another task of their job did", p.ledger.crowded)
	}
}

func newPlatform(t *testing.T, held ...string) platform {
	t.Helper()
	server := natstest.Run(t)
	return platform{t: t, js: backend(t, server.ClientURL()), url: server.ClientURL(), ledger: newLedger(held...)}
}

// TestRollingBackWithTasksInTheQueue is the rollback of
// docs/MIGRATION_CS_RUNNER.md where the workers cannot stay: they are stopped
// with work in their hands and in the queue, the rest is carried out by
// run-once under the same ids, and the workers come back later.
func TestRollingBackWithTasksInTheQueue(t *testing.T) {
	const jobs, each = 3, 3
	p := newPlatform(t, requestOf(0, 2), requestOf(1, 2), requestOf(2, 2))
	var ids []string
	for n := 1; n <= each; n++ {
		for job := range jobs {
			ids = append(ids, requestOf(job, n))
		}
	}
	stop := p.work()
	for i, id := range ids[:jobs] {
		p.publish(i%jobs, id)
	}
	eventually(t, func() bool { return p.ledger.hasDone(ids[0]) && p.ledger.hasDone(ids[1]) && p.ledger.hasDone(ids[2]) })
	for i, id := range ids[jobs:] {
		p.publish(i%jobs, id)
	}
	eventually(t, func() bool { return p.ledger.hasBegun(requestOf(0, 2), requestOf(1, 2), requestOf(2, 2)) })
	stop()
	if n := p.waiting(); n != 2*jobs {
		t.Fatalf("%d tasks in the queue after the workers have stopped, want %d: three begun, three behind them", n, 2*jobs)
	}

	p.ledger.hold()
	for i, id := range ids[jobs : len(ids)-1] { // the last one is left to the workers
		if err := p.dispatch(i%jobs, id)(); err != nil {
			t.Fatal(err)
		}
	}

	p.work()
	eventually(t, func() bool { return p.waiting() == 0 })
	p.wantEachOnce(ids)
}

// TestRollingBackWhileTheQueueDrains is the usual rollback: the backend sends
// new deployments by dispatch, also of jobs that the queue has tasks of, while
// the workers finish what they have.
func TestRollingBackWhileTheQueueDrains(t *testing.T) {
	first, second, dispatched := requestOf(0, 1), requestOf(0, 2), requestOf(0, 3)
	p := newPlatform(t, first)
	run := p.dispatch(0, dispatched)
	p.work()
	p.publish(0, first)
	p.publish(0, second)
	eventually(t, func() bool { return p.ledger.hasBegun(first) })

	ended := make(chan error, 1)
	go func() { ended <- run() }()
	p.eventuallyBlocked(dispatched)
	close(p.ledger.release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return p.ledger.hasDone(second) && p.waiting() == 0 })
	p.wantEachOnce([]string{first, second, dispatched})
}

// eventuallyBlocked waits until a run-once is there, and sees that it has not
// begun its task.
func (p platform) eventuallyBlocked(id string) {
	p.t.Helper()
	leases, err := p.js.KeyValue(p.t.Context(), "dispatch_lease")
	if err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, func() bool {
		workers, err := leases.ListKeysFiltered(p.t.Context(), "worker.>")
		if err != nil {
			return false
		}
		n := 0
		for range workers.Keys() {
			n++
		}
		return n == 2
	})
	if p.ledger.hasBegun(id) {
		p.t.Errorf("%s began while another task of its job ran", id)
	}
}
