package desk_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prefix keeps the tests honest about names.
const prefix = "staging"

// floor is a NATS server with the backend's streams, for real workers whose
// tasks do what a test says.
type floor struct {
	t        *testing.T
	url      string
	nc       *nats.Conn
	js       jetstream.JetStream
	topology queue.Topology
	desk     *desk.Desk
}

func newFloor(t *testing.T) *floor {
	t.Helper()
	url := natstest.Run(t).ClientURL()
	f := &floor{t: t, url: url, topology: queue.Topology{Prefix: prefix, Replicas: 1}}
	f.nc, f.js = f.connect()
	for name, subjects := range map[string][]string{"DEPLOYMENTS": {prefix + ".deployment.>", prefix + ".job.destroyed"}, "LOGS": {prefix + ".build.log.>"}} {
		if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			t.Fatal(err)
		}
	}
	f.desk = desk.New(f.nc, f.js, desk.Options{Topology: f.topology, Subjects: events.NewSubjects(prefix, "")})
	return f
}

func (f *floor) connect() (*nats.Conn, jetstream.JetStream) {
	f.t.Helper()
	nc, err := nats.Connect(f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		f.t.Fatal(err)
	}
	return nc, js
}

// ensure makes our streams without any worker.
func (f *floor) ensure() {
	f.t.Helper()
	if err := queue.EnsureService(f.t.Context(), f.nc, f.js, f.topology); err != nil {
		f.t.Fatal(err)
	}
}

// publish queues a deployment of a job.
func (f *floor) publish(job, id string) {
	f.t.Helper()
	f.publishBody(f.topology.TaskSubject("deploy-image", job, id), bodyOf(job, id), nil)
}

func (f *floor) publishBody(subject, body string, header nats.Header) {
	f.t.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(body), Header: header}
	if _, err := f.js.PublishMsg(f.t.Context(), msg); err != nil {
		f.t.Fatal(err)
	}
}

func bodyOf(job, id string) string {
	return fmt.Sprintf(`{"task":"deploy-image","params":{"jobId":%q,"imageName":"nginx","deploymentId":"dep-%s","serviceId":"s1"}}`, job, id)
}

// step is what a task does.
type step func(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error)

// script is a handler whose tasks do what stands under their id, else succeed.
type script struct {
	mu    sync.Mutex
	steps map[string]step
}

func (s *script) Handle(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
	s.mu.Lock()
	do := s.steps[t.ID]
	s.mu.Unlock()
	if do == nil {
		return tasks.Result{}, nil
	}
	return do(ctx, t, at, rep)
}

// hang is in a stage, or in none, until its task ends.
func hang(stage tasks.Stage) step {
	return func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
		if stage != "" {
			rep.Stage(stage)
		}
		<-ctx.Done()
		return tasks.Result{}, context.Cause(ctx)
	}
}

// failing fails with a reason each time.
func failing(reason tasks.Reason, message string) step {
	return func(_ context.Context, _ tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
		rep.Stage(tasks.StageRegister)
		return tasks.Result{}, tasks.Fail(reason, message, nil)
	}
}

// host is a worker's settings; the environment of the test has no part in them.
func (f *floor) host(id string, slots int) service.Host {
	f.t.Helper()
	settings := sync.OnceValues(config.Load)
	cfg, err := settings()
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.NATS.Servers, cfg.NATS.StreamPrefix = []string{f.url}, prefix
	cfg.HTTPAddr, cfg.Worker.ID, cfg.Worker.Slots = "127.0.0.1:0", id, slots
	cfg.Worker.DrainTimeout = 100 * time.Millisecond
	dir, err := os.MkdirTemp(f.t.TempDir(), "work")
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.Worker.WorkDir = dir
	return service.Host{Config: cfg, Version: service.Version{Number: "test"}, Log: zap.NewNop(), Redactor: redact.New()}
}

// work starts a worker; it ends with the test, or when stop is called.
func (f *floor) work(id string, slots int, steps map[string]step) (stop func()) {
	f.t.Helper()
	host := f.host(id, slots)
	host.Handler = &script{steps: steps}
	return f.run(host)
}

func (f *floor) run(host service.Host) (stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx, host) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("worker %s: %v", host.Config.Worker.ID, err)
		}
	})
	f.t.Cleanup(stop)
	f.eventually("worker "+host.Config.Worker.ID+" lives", func() bool {
		view, err := f.desk.Workers(f.t.Context())
		return err == nil && strings.Contains(fmt.Sprint(view.Workers), host.Config.Worker.ID)
	})
	return stop
}

// once starts a run-once about the job web; it is stopped before it has ended.
func (f *floor) once(worker, id string, do step) (stop func()) {
	f.t.Helper()
	host := f.host(worker, 1)
	host.Config.RunOnce.MetaTask = "deploy-image"
	host.Config.RunOnce.MetaParams = `{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1"}`
	host.Config.RunOnce.NomadJobID = "deploy/" + id
	host.Handler = &script{steps: map[string]step{id: do}}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- service.RunOnce(ctx, host) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err == nil {
			f.t.Error("RunOnce() = nil, want that it was stopped")
		}
	})
	f.t.Cleanup(stop)
	return stop
}

// eventually polls a condition until it holds or twenty seconds are over.
func (f *floor) eventually(what string, holds func() bool) {
	f.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			f.t.Fatalf("it did not happen within 20 s: %s", what)
		}
	}
}

// show shows a task.
func (f *floor) show(id string) desk.TaskView {
	f.t.Helper()
	view, err := f.desk.Show(f.t.Context(), desk.ShowQuery{ID: id, Lines: 5, Events: 20})
	if err != nil {
		f.t.Fatal(err)
	}
	return view
}

// until waits for a task's state.
func (f *floor) until(id string, state desk.State) desk.TaskView {
	f.t.Helper()
	var view desk.TaskView
	f.eventually(fmt.Sprintf("%s is %s", id, state), func() bool {
		view = f.show(id)
		return view.State == state
	})
	return view
}

// claimed waits until a worker has the task's lease and its run.
func (f *floor) claimed(id string) {
	f.t.Helper()
	f.eventually(id+" is claimed", func() bool {
		view := f.show(id)
		return view.State == desk.StateRunning && view.Run != nil
	})
}
