//go:build e2e

package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// work is everything that a worker does on NATS: it starts, ends tasks well and
// badly, puts one away that cannot be read, waits while another queues, hands
// one back when it is stopped, and goes on with it as its successor.
func (b *busUnderRights) work() {
	held := holdRequests(b.t)
	first := b.start("run")
	if !b.until("the worker is ready", func() bool { return len(first.logged("ready for tasks")) > 0 || !first.running() }) {
		return
	}
	good, slow, queued := noop("good"), noop("slow"), noop("queued")
	slow = slow.with(params{"deploy": "nomad-pack", "imageName": held.address + "/app"})
	gone := destroy("delete", params{"jobId": newJob(b.t, "gone"), "serviceId": "srv-1"})
	b.put(good.subject(), good.body(b.t))
	b.put("dispatch.task.deploy-image.app.unreadable", []byte("{garbage"))
	b.put(gone.subject(), gone.body(b.t))
	b.put(slow.subject(), slow.body(b.t))
	if !b.until("the slow task runs", func() bool { return held.asked() }) {
		return
	}
	b.put(queued.subject(), queued.body(b.t))
	if !b.until("the queue's age is read", func() bool { return hasAge(b.t, first) }) {
		return
	}
	first.terminate()
	if !b.until("the first worker has ended", func() bool { return !first.running() }) {
		return
	}
	second := b.start("run")
	if !b.until("the second worker has the slow task", func() bool { return len(second.logged("task started")) > 0 }) {
		return
	}
	held.release()
	b.until("everything is settled and told", func() bool { return b.allSettled(good, slow, queued, gone) })
}

// noop is an image task that asks neither a registry nor Nomad.
func noop(name string) task {
	id := newID()
	return task{kind: "deploy-image", id: id, params: params{
		"jobId": name, "imageName": "app", "deploymentId": "dep-" + id, "serviceId": "srv-1", "deploy": "noop",
	}}
}

func (b *busUnderRights) put(subject string, body []byte) {
	b.t.Helper()
	if _, err := b.admin.Publish(brief(b.t), b.subject(subject), body); err != nil {
		b.t.Fatal(err)
	}
}

var age = regexp.MustCompile(`(?m)^dispatchd_queue_oldest_pending_age_seconds (\d+\.\d+|[1-9])`)

func hasAge(t *testing.T, p *process) bool {
	t.Helper()
	return age.MatchString(get(t, p.address()+"/metrics"))
}

// allSettled reports whether each task has its record, the queue and the run
// records are empty, and the unreadable one lies with the dead letters.
func (b *busUnderRights) allSettled(all ...task) bool {
	records := b.stream("DISPATCH_EVENTS")
	for _, k := range all {
		if _, err := records.GetLastMsgForSubject(brief(b.t), b.subject("dispatch.done."+k.id)); err != nil {
			return false
		}
	}
	return b.messages("DISPATCH_TASKS") == 0 && b.messages("KV_dispatch_run") == 0 && b.messages("DISPATCH_DLQ") == 1
}

func (b *busUnderRights) stream(name string) jetstream.Stream {
	b.t.Helper()
	if b.opts.prefix != "" {
		bucket, isBucket := strings.CutPrefix(name, "KV_")
		name = b.opts.prefix + "_" + bucket
		if isBucket {
			name = "KV_" + name
		}
	}
	stream, err := b.admin.Stream(brief(b.t), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return stream
}

func (b *busUnderRights) messages(stream string) uint64 {
	return b.stream(stream).CachedInfo().State.Msgs
}

// held is a registry that answers nothing until it is released.
type held struct {
	address string
	began   chan struct{}
	release func()
}

func holdRequests(t *testing.T) *held {
	t.Helper()
	began, free := make(chan struct{}), make(chan struct{})
	var once, freed sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(began) })
		select {
		case <-free:
		case <-r.Context().Done():
		}
		http.NotFound(w, r)
	}))
	h := &held{address: strings.TrimPrefix(server.URL, "http://"), began: began, release: func() { freed.Do(func() { close(free) }) }}
	t.Cleanup(server.Close)
	t.Cleanup(h.release)
	return h
}

func (h *held) asked() bool {
	select {
	case <-h.began:
		return true
	default:
		return false
	}
}

// connect is a client of the role's that is no dispatchd.
func (b *busUnderRights) connect(inbox string) (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "seed")
	if err := os.WriteFile(file, []byte(b.seed), 0o600); err != nil {
		b.t.Fatal(err)
	}
	key, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		b.t.Fatal(err)
	}
	nc, err := nats.Connect(b.server.ClientURL(), key, nats.CustomInboxPrefix(inbox), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		b.hear(err.Error())
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	return nc, js
}

// hear keeps what was said of a refusal.
func (b *busUnderRights) hear(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard.WriteString(text + "\n")
}

// publishAsBackend puts a task into the queue and cancels it.
func (b *busUnderRights) publishAsBackend() {
	_, js := b.connect("_INBOX.backend")
	k := noop("published")
	if _, err := js.Publish(brief(b.t), b.subject(k.subject()), k.body(b.t)); err == nil && b.messages("DISPATCH_TASKS") != 1 {
		b.t.Error("the queue does not have the task")
	}
	if _, err := js.Publish(brief(b.t), b.subject("dispatch.cancel."+k.id), nil); err == nil && b.messages("DISPATCH_EVENTS") != 1 {
		b.t.Error("the records do not have the cancel")
	}
}

// read hears what is said of a task, and reads its record afterwards.
func (b *busUnderRights) read() {
	nc, js := b.connect("_INBOX.reader")
	for _, subject := range []string{"dispatch.event.t1.started", "dispatch.done.t1", "build.log.dep-1"} {
		pattern := map[string]string{"dispatch.event.t1.started": "dispatch.event.*.*", "dispatch.done.t1": "dispatch.done.*", "build.log.dep-1": "build.log.>"}[subject]
		subscription, err := nc.SubscribeSync(b.subject(pattern))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			b.t.Fatal(err)
		}
		b.put(subject, []byte("{}"))
		if _, err := subscription.NextMsg(2 * time.Second); err != nil && len(b.violations()) == 0 {
			b.t.Errorf("nothing is heard on %s: %v", pattern, err)
		}
	}
	stream, err := js.Stream(brief(b.t), b.stream("DISPATCH_EVENTS").CachedInfo().Config.Name)
	if err != nil {
		return
	}
	if _, err := stream.GetLastMsgForSubject(brief(b.t), b.subject("dispatch.done.t1")); err != nil && len(b.violations()) == 0 {
		b.t.Error(err)
	}
}

// submit publishes a task with dispatchd submit and follows it; the test itself
// says how it ends.
func (b *busUnderRights) submit() {
	k := noop("submitted")
	file := filepath.Join(b.t.TempDir(), "task.json")
	if err := os.WriteFile(file, mustJSON(b.t, map[string]any{"task": k.kind, "id": k.id, "params": k.params}), 0o600); err != nil {
		b.t.Fatal(err)
	}
	p := b.start("submit", file)
	if !b.until("the queue has the task", func() bool { return b.messages("DISPATCH_TASKS") == 1 }) {
		return
	}
	b.put("dispatch.done."+k.id, []byte(`{"status":"succeeded"}`))
	b.until("submit ends", func() bool { return !p.running() })
}

// operate runs every command of an operator's, on two dead letters and a task that
// waits and has a log.
func (b *busUnderRights) operate() {
	away, dropped, waiting := noop("away"), noop("dropped"), noop("waiting")
	for _, k := range []task{away, dropped} {
		b.put(k.subject(), k.body(b.t))
		b.discard(k)
	}
	b.put(waiting.subject(), waiting.body(b.t))
	b.put("build.log."+waiting.params["deploymentId"].(string), []byte(`{"content":"a line","sequence":1}`))
	leases := strings.TrimPrefix(b.stream("KV_dispatch_lease").CachedInfo().Config.Name, "KV_")
	if _, err := b.admin.Publish(brief(b.t), "$KV."+leases+".worker.w1", []byte(`{"id":"w1","slots":1}`)); err != nil {
		b.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"queue"},
		{"workers"},
		{"show", waiting.id},
		{"cancel", waiting.id},
		{"dlq", "ls"},
		{"dlq", "show", away.id},
		{"dlq", "requeue", away.id},
		{"dlq", "drop", "--yes", dropped.id},
	} {
		p := b.start(args...)
		if !b.until(strings.Join(args, " ")+" ends", func() bool { return !p.running() }) {
			return
		}
		if strings.Contains(p.out.String(), "a run event that links the two is missing") {
			b.hear(p.out.String())
			return
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			b.t.Errorf("%v ends with %d: %s", args, code, p.err.String())
		}
	}
	if tasks, letters := b.messages("DISPATCH_TASKS"), b.messages("DISPATCH_DLQ"); len(b.violations()) == 0 && (tasks != 2 || letters != 0) {
		b.t.Errorf("%d tasks and %d letters are left, want the waiting task and the requeued one", tasks, letters)
	}
}

// discard puts the only task of the queue away, as a worker does.
func (b *busUnderRights) discard(k task) {
	b.t.Helper()
	leases, err := queue.NewLeases(brief(b.t), b.admin, queue.Topology{Prefix: b.opts.prefix}, "w1")
	if err != nil {
		b.t.Fatal(err)
	}
	q, err := queue.NewJetStream(brief(b.t), b.admin.Conn(), leases)
	if err != nil {
		b.t.Fatal(err)
	}
	delivery, err := q.Fetch(brief(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := delivery.Discard(brief(b.t), worker.DeadLetter{ID: k.id, Reason: tasks.ReasonInvalidTask, Message: "put away by a test", Attempt: 1}); err != nil {
		b.t.Fatal(err)
	}
}
