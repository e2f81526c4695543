//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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
	w.makeBackendStreams()
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

// makeBackendStreams makes what is the backend's in production.
func (w *world) makeBackendStreams() {
	w.t.Helper()
	for name, subjects := range map[string][]string{
		w.events(): {w.subject("deployment.>"), w.subject("job.destroyed")},
		w.logs():   {w.subject("build.log.>")},
	} {
		_, err := w.js.CreateStream(brief(w.t), jetstream.StreamConfig{Name: name, Subjects: subjects, Storage: jetstream.FileStorage})
		if err != nil {
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

// record is a task's terminal record.
type record struct {
	Status    string   `json:"status"`
	Reason    string   `json:"reason"`
	Class     string   `json:"class"`
	Stage     string   `json:"stage"`
	Message   string   `json:"message"`
	Image     string   `json:"image"`
	Commit    string   `json:"commit"`
	Warnings  []string `json:"warnings"`
	Attempt   int      `json:"attempt"`
	Destroyed []string `json:"destroyed"`
}

// settled waits until a task has ended and everything is said about it: its
// run record is the last thing to go.
func (w *world) settled(s *sent, within time.Duration) record {
	w.t.Helper()
	var r record
	eventually(w.t, within, "task "+s.id+" is settled", func() bool {
		found, ok := w.record(s.id)
		r = found
		return ok && !w.isOpen(s.id)
	})
	return r
}

func (w *world) record(id string) (r record, ok bool) {
	stream, err := w.js.Stream(brief(w.t), w.stream("DISPATCH_EVENTS"))
	if err != nil {
		return r, false
	}
	msg, err := stream.GetLastMsgForSubject(brief(w.t), w.subject("dispatch.done."+id))
	if err != nil {
		return r, false
	}
	return r, json.Unmarshal(msg.Data, &r) == nil
}

// isOpen reports whether a task has a run record, also where we cannot tell.
func (w *world) isOpen(id string) bool {
	stream, err := w.js.Stream(brief(w.t), "KV_"+w.stream("dispatch_run"))
	if err != nil {
		return true
	}
	_, err = stream.GetLastMsgForSubject(brief(w.t), "$KV."+w.stream("dispatch_run")+"."+id)
	return !errors.Is(err, jetstream.ErrMsgNotFound)
}

// succeeded waits for a task's success.
func (w *world) succeeded(s *sent, within time.Duration) record {
	w.t.Helper()
	r := w.settled(s, within)
	if r.Status != "succeeded" {
		w.t.Fatalf("task %s %s in %s (%s): %s\n%s", s.id, r.Status, r.Stage, r.Reason, r.Message, w.logText(s))
	}
	return r
}

// failed waits for a task's failure and checks its reason and stage, in the
// record and in the event's headers.
func (w *world) failed(s *sent, within time.Duration, reason, stage string) record {
	w.t.Helper()
	r := w.settled(s, within)
	if r.Status != "failed" || r.Reason != reason || r.Stage != stage {
		w.t.Fatalf("task %s: %s in %q with reason %q: %s; want failed in %q with %q\n%s", s.id, r.Status, r.Stage, r.Reason, r.Message, stage, reason, w.logText(s))
	}
	w.wantFailureHeaders(s, r)
	w.wantSentence(r.Message)
	return r
}

func (w *world) wantFailureHeaders(s *sent, r record) {
	w.t.Helper()
	if s.destroy {
		return
	}
	for _, e := range w.said(s, "deployment.failed") {
		got := []string{e.header.Get("Dispatch-Reason"), e.header.Get("Dispatch-Step"), e.header.Get("Dispatch-Error-Class"), e.header.Get("Dispatch-Error")}
		if want := []string{r.Reason, r.Stage, r.Class, r.Message}; !slices.Equal(got, want) {
			w.t.Errorf("headers of deployment.failed: %q, want %q", got, want)
		}
	}
}

// wantSentence refuses what no customer should read.
func (w *world) wantSentence(message string) {
	w.t.Helper()
	bare := strings.TrimSpace(message)
	if bare == "" || strings.HasPrefix(bare, "exit status") || strings.ContainsAny(message, "\n\r") || len(message) > 1024 {
		w.t.Errorf("the failure says %q, want one plain sentence", message)
	}
}

// message is one message of a stream.
type message struct {
	// subject is without the world's prefix.
	subject string
	body    string
	header  nats.Header
	at      time.Time
}

// all reads a stream from its beginning to its end.
func (w *world) all(stream string, subjects ...string) []message {
	w.t.Helper()
	ctx := brief(w.t)
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var found []message
	for range info.NumPending {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			w.t.Fatalf("read message %d of %s: %v", len(found)+1, stream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			w.t.Fatal(err)
		}
		subject := strings.TrimPrefix(msg.Subject(), w.subject(""))
		found = append(found, message{subject: subject, body: string(msg.Data()), header: msg.Headers(), at: meta.Timestamp})
	}
	return found
}

// said returns a task's legacy events in the order of the stream; kinds limits
// them to some subjects.
func (w *world) said(s *sent, kinds ...string) []message {
	w.t.Helper()
	var found []message
	for _, m := range w.all(w.events()) {
		if m.header.Get("Dispatch-Task-Id") == s.id && (len(kinds) == 0 || slices.Contains(kinds, m.subject)) {
			found = append(found, m)
		}
	}
	return found
}

// line is one line of a build log.
type line struct {
	DeploymentID string          `json:"deploymentId"`
	JobID        int             `json:"jobId"`
	ServiceID    string          `json:"serviceId"`
	OwnerID      json.RawMessage `json:"ownerId"`
	LogOutput    string          `json:"logOutput"`
	Content      string          `json:"content"`
	Timestamp    int64           `json:"timestamp"`
	Sequence     int             `json:"sequence"`
	Phase        string          `json:"phase"`
}

// log reads a deployment's lines and the ends of its log, and checks that the
// numbers have no holes and that nothing follows the end.
func (w *world) log(s *sent) (lines []line, ends []message) {
	w.t.Helper()
	about, end := w.subject("build.log."+s.deployment), w.subject("build.log.end."+s.deployment)
	for _, m := range w.all(w.logs(), about, end) {
		if strings.HasPrefix(m.subject, "build.log.end.") {
			ends = append(ends, m)
			continue
		}
		if len(ends) > 0 {
			w.t.Errorf("log of %s: a line follows its end: %s", s.deployment, m.body)
		}
		var l line
		if err := json.Unmarshal([]byte(m.body), &l); err != nil {
			w.t.Fatalf("log of %s: %v in %s", s.deployment, err, m.body)
		}
		lines = append(lines, l)
		if l.Sequence != len(lines) {
			w.t.Errorf("log of %s: line %d has the number %d", s.deployment, len(lines), l.Sequence)
		}
	}
	return lines, ends
}

// logText is the log as a person reads it.
func (w *world) logText(s *sent) string {
	w.t.Helper()
	if s.deployment == "" {
		return ""
	}
	var b strings.Builder
	lines, _ := w.log(s)
	for _, l := range lines {
		b.WriteString(l.Phase + ": " + l.Content + "\n")
	}
	return b.String()
}

// sees waits until a line of the running task's log holds a text.
func (w *world) sees(s *sent, text string, within time.Duration) {
	w.t.Helper()
	eventually(w.t, within, "the log of "+s.deployment+" says "+text, func() bool {
		if r, ended := w.record(s.id); ended {
			w.t.Fatalf("task %s ended before its log said %q: %s %s\n%s", s.id, text, r.Status, r.Message, w.logText(s))
		}
		return strings.Contains(w.logText(s), text)
	})
}

// close counts what was said about each task, once the workers have ended.
func (w *world) close() {
	if w.t.Failed() {
		return
	}
	for _, s := range w.sent {
		w.count(s)
	}
	w.wantNothingLeft()
}

// count checks that a task has exactly one of each end.
func (w *world) count(s *sent) {
	w.t.Helper()
	if records := len(w.records(s)); records != 1 && !s.unrecorded {
		w.t.Errorf("task %s has %d terminal records, want 1", s.id, records)
	}
	if s.destroy {
		return
	}
	started, ended, ends := 0, 0, 0
	for _, m := range w.said(s) {
		if m.subject == "deployment.status.changed" {
			started++
		} else {
			ended++
		}
	}
	_, logEnds := w.log(s)
	ends = len(logEnds)
	if want := map[bool]int{true: 0, false: 1}[s.refused]; started != want || ended != 1 || ends != 1 {
		w.t.Errorf("task %s: IN_PROGRESS %d times, %d outcomes, %d ends of its log; want %d, 1 and 1", s.id, started, ended, ends, want)
	}
}

func (w *world) records(s *sent) []message {
	w.t.Helper()
	if s.unrecorded {
		return nil
	}
	return w.all(w.stream("DISPATCH_EVENTS"), w.subject("dispatch.done."+s.id))
}

// wantNothingLeft looks for files of tasks, open runs and queued messages.
func (w *world) wantNothingLeft() {
	w.t.Helper()
	left, err := filepath.Glob(filepath.Join(w.workDir, "*"))
	if err != nil || len(left) > 0 {
		w.t.Errorf("left in the work directory: %v %v", left, err)
	}
	for _, name := range []string{w.stream("DISPATCH_TASKS"), "KV_" + w.stream("dispatch_run")} {
		stream, err := w.js.Stream(brief(w.t), name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if state := stream.CachedInfo().State; state.Msgs > 0 {
			w.t.Errorf("%d messages are left in %s", state.Msgs, name)
		}
	}
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
