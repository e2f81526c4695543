//go:build e2e

package e2e_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// world is one platform: a subject prefix with the backend's streams, workers,
// and the tasks that were sent. Nobody else uses its prefix.
type world struct {
	t      *testing.T
	prefix string
	// env is the whole environment of its dispatchd processes.
	env     []string
	workDir string
	nc      *nats.Conn
	js      jetstream.JetStream
	sent    []*sent
	// abandoned says that the test leaves a task without its end.
	abandoned bool
}

// sent is a task that a world must hear the end of exactly once.
type sent struct {
	id         string
	deployment string
	destroy    bool
	// refused tasks fail without IN_PROGRESS.
	refused bool
	// unrecorded tasks ran with rights that do not allow a terminal record.
	unrecorded bool
}

// worldOptions say how a world differs from the usual one.
type worldOptions struct {
	// server is another NATS server than the suite's.
	server string
	// login are the options of our own connection to it.
	login []nats.Option
	// env wins over the usual environment.
	env []string
	// noPrefix leaves the subjects without a prefix.
	noPrefix bool
}

func newWorld(t *testing.T, opts worldOptions) *world {
	t.Helper()
	w := &world{t: t, workDir: t.TempDir()}
	if !opts.noPrefix {
		w.prefix = "p" + strings.ToLower(tasks.NewID()[:10])
	}
	if opts.server == "" {
		opts.server = shared.nats.ClientURL()
	}
	w.env = withEnv(shared.env, append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(),
		"NATS_SERVERS=" + opts.server, "NATS_STREAM_PREFIX=" + w.prefix,
		"DISPATCHD_WORK_DIR=" + w.workDir, "DISPATCHD_HTTP_ADDR=127.0.0.1:0",
	}, opts.env...)...)
	w.connect(opts)
	w.makeBackendStreams(opts.server != shared.nats.ClientURL())
	t.Cleanup(w.close)
	return w
}

// withEnv sets variables over others.
func withEnv(env []string, more ...string) []string {
	all := slices.Clone(env)
	for _, entry := range more {
		name, _, _ := strings.Cut(entry, "=")
		all = slices.DeleteFunc(all, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		all = append(all, entry)
	}
	return all
}

func (w *world) connect(opts worldOptions) {
	w.t.Helper()
	login := append(slices.Clone(opts.login), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	nc, err := nats.Connect(opts.server, login...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	w.nc = nc
	if w.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(3*time.Second)); err != nil {
		w.t.Fatal(err)
	}
}

// makeBackendStreams makes what is the backend's in production. Where NATS does
// not go away, events must be single without the help of a long dedupe window.
func (w *world) makeBackendStreams(longWindow bool) {
	w.t.Helper()
	for _, config := range []jetstream.StreamConfig{
		{Name: w.events(), Subjects: []string{w.subject("deployment.>"), w.subject("job.destroyed")}, Duplicates: time.Second},
		{Name: w.logs(), Subjects: []string{w.subject("build.log.>")}},
	} {
		if longWindow {
			config.Duplicates = 0
		}
		if _, err := w.js.CreateStream(brief(w.t), config); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) subject(s string) string {
	if w.prefix == "" {
		return s
	}
	return w.prefix + "." + s
}

// stream is the name of a stream or bucket of dispatchd's.
func (w *world) stream(name string) string {
	if w.prefix == "" {
		return name
	}
	return w.prefix + "_" + name
}

func (w *world) events() string { return w.stream("BACKEND_DEPLOYMENTS") }
func (w *world) logs() string   { return w.stream("BACKEND_LOGS") }

// start runs a worker and returns when it takes tasks.
func (w *world) start(env ...string) *process {
	w.t.Helper()
	p := startProcess(w.t, withEnv(w.env, env...), "run")
	// It runs before the cleanup that kills.
	w.t.Cleanup(func() { w.stop(p) })
	p.ready()
	return p
}

// stop asks a worker to end, as its supervisor does.
func (w *world) stop(p *process) {
	if !p.running() || w.t.Failed() {
		return
	}
	p.terminate()
	if code := p.exit(40 * time.Second); code != 0 {
		w.t.Errorf("a worker that was asked to end has the exit code %d", code)
	}
}

// send publishes a task to the work queue.
func (w *world) send(task task) *sent {
	w.t.Helper()
	s := w.expect(task)
	if err := w.publish(task.subject(), task.body(w.t)); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// expect notes a task whose end is counted when the world closes.
func (w *world) expect(task task) *sent {
	deployment, _ := task.params["deploymentId"].(string)
	s := &sent{id: task.id, deployment: deployment, destroy: task.kind == "destroy-job-pack"}
	w.sent = append(w.sent, s)
	return s
}

func (w *world) publish(subject string, body []byte) error {
	msg := nats.NewMsg(w.subject(subject))
	msg.Data = body
	msg.Header.Set("traceparent", traceparent)
	_, err := w.js.PublishMsg(brief(w.t), msg)
	return err
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// once runs a task as Nomad's dispatch does and returns the ended process.
func (w *world) once(task task, env ...string) *process {
	w.t.Helper()
	w.expect(task)
	p := startProcess(w.t, withEnv(w.env, append(task.meta(w.t), env...)...), "run-once")
	p.exit(2 * time.Minute)
	return p
}

// pause waits for as long as an outage shall last.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}
