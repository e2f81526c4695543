package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/test/chaos/check"
	"github.com/dispatchd/dispatchd/test/chaos/effect"
	"github.com/dispatchd/dispatchd/test/chaos/proxy"
)

// pace makes a dead worker be noticed after two seconds.
var pace = queue.Pace{AckWait: 2 * time.Second, LeaseTTL: 1500 * time.Millisecond}

// patience bounds what a row may take on a machine that is busy.
const patience = 60 * time.Second

var workerBinary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		panic(err)
	}
	workerBinary = filepath.Join(dir, "worker")
	build := exec.Command("go", "build", "-tags", "grpcnotrace,nethttpomithttp2", "-o", workerBinary, "./worker")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// task is one message for the queue.
type task struct {
	id, kind, job string
	body          string
}

func deployment(id, job, tag string) task {
	return task{id: id, kind: "deploy-image", job: job, body: fmt.Sprintf(
		`{"task":"deploy-image","params":{"jobId":%q,"imageName":"app","imageTag":%q,"deploymentId":"d-%s","serviceId":"s-%s","deploymentJobId":7}}`, job, tag, id, id)}
}

func failing(id, job string) task {
	return deployment(id, job, effect.Plan{Outcome: effect.Fail, Work: 30 * time.Millisecond}.Tag())
}

func destroying(id, job string) task {
	return task{id: id, kind: "destroy-job-pack", job: job, body: fmt.Sprintf(
		`{"task":"destroy-job-pack","params":{"jobs":[{"jobId":%q,"serviceId":"s-%s"}],"reason":"delete"}}`, job, id)}
}

// server is a NATS server with a backend's streams, and the workers around it.
type server struct {
	t       *testing.T
	nats    *embednats.Server
	js      jetstream.JetStream
	pace    queue.Pace
	workers int
}

func newServer(t *testing.T, pace queue.Pace) *server {
	t.Helper()
	s := &server{t: t, nats: natstest.Run(t), pace: pace}
	nc, err := nats.Connect(s.nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	// The server forgets ids at once: nothing but the protocol keeps events single.
	for name, subjects := range map[string][]string{
		"DEPLOYMENTS": {"deployment.>", "job.destroyed"}, "LOGS": {"build.log.>"}, effect.Stream: {effect.Subjects},
	} {
		config := jetstream.StreamConfig{Name: name, Subjects: subjects, Duplicates: 100 * time.Millisecond}
		if _, err := s.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// send publishes the task. The queue may not be there yet: a worker makes it.
func (s *server) send(k task) {
	s.t.Helper()
	eventually(s.t, "the queue takes "+k.id, func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		msg := nats.NewMsg("dispatch.task." + k.kind + "." + k.job + "." + k.id)
		msg.Data = []byte(k.body)
		_, err := s.js.PublishMsg(ctx, msg, jetstream.WithMsgID(k.id))
		return err == nil
	})
}

// settled waits until the task has its terminal record and nothing of it is left.
func (s *server) settled(k task) {
	s.t.Helper()
	eventually(s.t, "task "+k.id+" is settled", func() bool {
		return s.has("DISPATCH_EVENTS", "dispatch.done."+k.id) &&
			!s.has("KV_dispatch_run", "$KV.dispatch_run."+k.id) &&
			!s.has("KV_dispatch_lease", "$KV.dispatch_lease.target."+k.job) &&
			!s.has("DISPATCH_TASKS", "dispatch.task."+k.kind+"."+k.job+"."+k.id)
	})
}

// claimedBy waits until the worker has claimed the task, or ended it.
func (s *server) claimedBy(k task, p *process) {
	s.t.Helper()
	eventually(s.t, "task "+k.id+" is claimed by "+p.name, func() bool {
		if s.has("DISPATCH_EVENTS", "dispatch.done."+k.id) {
			return true
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		handle, err := s.js.Stream(ctx, "KV_dispatch_run")
		if err != nil {
			return false
		}
		msg, err := handle.GetLastMsgForSubject(ctx, "$KV.dispatch_run."+k.id)
		var run struct{ Worker string }
		return err == nil && json.Unmarshal(msg.Data, &run) == nil && run.Worker == p.name
	})
}

func (s *server) has(stream, subject string) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	handle, err := s.js.Stream(ctx, stream)
	if err != nil {
		return errors.Is(err, context.DeadlineExceeded)
	}
	_, err = handle.GetLastMsgForSubject(ctx, subject)
	return !errors.Is(err, jetstream.ErrMsgNotFound)
}

// quiet waits until a worker that woke up has found out that its task is
// somebody else's: it asks for the next one.
func (s *server) quiet(p *process) {
	s.t.Helper()
	eventually(s.t, "the worker that woke up is free again", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		handle, err := s.js.Stream(ctx, "KV_dispatch_lease")
		if err != nil {
			return false
		}
		msg, err := handle.GetLastMsgForSubject(ctx, "$KV.dispatch_lease.worker."+p.name)
		var info queue.WorkerInfo
		return err == nil && json.Unmarshal(msg.Data, &info) == nil && info.Busy == 0 && msg.Time.After(p.woken)
	})
}

// check reads the streams as the checker does.
func (s *server) check(t *testing.T) {
	t.Helper()
	report, err := check.Read(t.Context(), s.js)
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range report.Violations {
		t.Errorf("%s", violation)
	}
}

// process is one worker.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	err   buffer
	done  chan struct{}
	woken time.Time
}

func (s *server) direct() *process { return s.start(s.nats.ClientURL()) }

func (s *server) throughProxy(hook proxy.Hook) *process {
	s.t.Helper()
	p, err := proxy.Start(strings.TrimPrefix(s.nats.ClientURL(), "nats://"), hook)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	return s.start(p.URL())
}

func (s *server) start(url string) *process {
	s.t.Helper()
	s.workers++
	p := &process{t: s.t, name: fmt.Sprintf("w%d", s.workers), done: make(chan struct{})}
	p.cmd = exec.Command(workerBinary)
	p.cmd.Env = []string{
		"NATS_SERVERS=" + url, "DISPATCHD_WORKER_ID=" + p.name, "DISPATCHD_SLOTS=1", "DISPATCHD_HTTP_ADDR=127.0.0.1:0",
		"DISPATCHD_WORK_DIR=" + s.t.TempDir(), "DISPATCHD_LOG_LEVEL=debug", "PATH=" + os.Getenv("PATH"),
		"CHAOS_ACK_WAIT=" + s.pace.AckWait.String(), "CHAOS_LEASE_TTL=" + s.pace.LeaseTTL.String(),
	}
	p.cmd.Stderr = &p.err
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		p.kill()
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", p.name, p.log())
		}
	})
	return p
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) pause() { p.signal(syscall.SIGSTOP) }

func (p *process) wake() {
	p.woken = time.Now()
	p.signal(syscall.SIGCONT)
}

// terminate asks the process to end and waits for that.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Errorf("worker %s did not end after SIGTERM", p.name)
	}
}

func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

func (p *process) log() string { return p.err.tail(60) }

// buffer may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *buffer) tail(lines int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Split(b.text.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// eventually polls until it holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
