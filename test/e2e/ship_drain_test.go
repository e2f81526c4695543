//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// fewRestarts are enough for every run; DISPATCHD_E2E_RESTARTS=20 is what an
// evening of upgrades may be.
const fewRestarts = 5

// TestRollingRestartsLoseNothing has Nomad replace two workers again and again
// while tasks come in steadily: each task ends once and is told once.
func TestRollingRestartsLoseNothing(t *testing.T) {
	t.Parallel()
	restarts := fewRestarts
	if text := os.Getenv("DISPATCHD_E2E_RESTARTS"); text != "" {
		var err error
		if restarts, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	source := newProvider(t)
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	source.private("acme/app", gitToken, running(t, "1", slowBuild(w, "2")))
	p := &platform{t: t, world: w, job: newName("rolling")}
	p.settings(workerSettings(w))
	round := func(n int) vars {
		return vars{
			"driver": "raw_exec", "program": shared.binary, "settings": "nomad/jobs/" + p.job, "memory": "128", "disk": "512",
			// A drain that is shorter than some tasks: those are handed back.
			"drain": "1s", "kill_timeout": "10s", "canary": "0", "min_healthy_time": "1s",
			"extra": fmt.Sprintf(`{ROUND = "%d"}`, n), "job_name": p.job,
		}
	}
	runJob(t, serviceJob, p.job, round(0))
	began := time.Now()
	load := startLoad(w)
	for n := range restarts {
		if code, out := nomadCLI(t, append(append([]string{"job", "run"}, round(n+1).flags()...), serviceJob)...); code != 0 {
			t.Fatalf("restart %d ended with %d:\n%s\n%s", n+1, code, out, jobLogs(t, p.job))
		}
	}
	sent := load.stop()
	took := time.Since(began)
	tally := w.tally(sent)
	t.Logf("%d restarts of 2 workers in %s: %d tasks at %.1f/s, %d handed to another worker, longest from queue to outcome %s",
		restarts, took.Round(time.Second), len(sent), float64(len(sent))/took.Seconds(), tally.moved, tally.longest.Round(100*time.Millisecond))
	if want := uint64(restarts); *readJob(t, p.job).Version < want {
		t.Errorf("the job has version %d, want %d", *readJob(t, p.job).Version, want)
	}
	if tally.moved == 0 {
		t.Error("no task was handed back: the load does not meet the drain")
	}
}

// workerSettings are what a worker on Nomad needs of the world's environment, as
// the items of a Nomad variable.
func workerSettings(w *world) map[string]string {
	items := map[string]string{}
	for _, entry := range w.env {
		name, value, _ := strings.Cut(entry, "=")
		ours := strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "NOMAD_") || strings.HasPrefix(name, "REGISTRY_")
		if ours || slices.Contains([]string{"BUILDKIT_HOST", "DISPATCHD_REGISTRY", "DISPATCHD_GITHUB_URL", "DISPATCHD_GITHUB_SSH_URL", "DISPATCHD_GIT_KNOWN_HOSTS"}, name) {
			items[name] = value
		}
	}
	return items
}

// load publishes tasks at a steady rate.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	sent   []queued
}

// queued is a task and when the queue had it.
type queued struct {
	task
	at time.Time
}

// everyTask is the time between two tasks.
const everyTask = 200 * time.Millisecond

func startLoad(w *world) *load {
	registry := slowRegistry(w.t)
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &load{cancel: cancel}
	l.done.Go(func() {
		tick := time.NewTicker(everyTask)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			k := steady(w.t, registry, n)
			if err := w.publish(k.subject(), k.body(w.t)); err != nil {
				w.t.Errorf("publish task %d: %v", n, err)
				return
			}
			l.sent = append(l.sent, queued{k, time.Now()})
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	w.t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) stop() []queued {
	l.cancel()
	l.done.Wait()
	return l.sent
}

// steady is the n-th task: most end at once, some take two to six seconds and
// fail, some are builds of two seconds.
func steady(t *testing.T, registry string, n int) task {
	t.Helper()
	id := newID()
	base := params{"jobId": "steady-" + itoa(n), "deploymentId": "dep-" + id, "serviceId": "srv-1", "deploymentJobId": n}
	switch {
	case n%20 == 7:
		k := task{kind: "deploy-repository", id: id, params: base}
		return k.with(params{"repository": "acme/app", "branch": "main", "gitPass": gitToken, "deploy": "noop", "build": params{"builder": "csdocker"}})
	case n%5 == 3:
		k := task{kind: "deploy-image", id: id, params: base}
		return k.with(params{"imageName": registry + "/slow-" + itoa(2+n/5%5)})
	default:
		k := task{kind: "deploy-image", id: id, params: base}
		return k.with(params{"imageName": "app", "deploy": "noop"})
	}
}

var seconds = regexp.MustCompile(`slow-(\d+)`)

// slowRegistry takes as many seconds as a repository's name says to answer that
// it has none of it.
func slowRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		wait := time.Second
		if found := seconds.FindStringSubmatch(r.URL.Path); found != nil {
			n, _ := strconv.Atoi(found[1])
			wait *= time.Duration(n)
		}
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
		http.NotFound(rw, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// tally is what the streams say of many tasks.
type tally struct {
	// moved counts how often a task went on with another worker.
	moved   int
	longest time.Duration
}

// workersOf counts the workers that a task's events name.
func workersOf(events []told) int {
	names := map[string]bool{}
	for _, e := range events {
		names[e.worker] = true
	}
	return len(names)
}

// tally waits until every task is settled, and counts what was said of each.
func (w *world) tally(sent []queued) tally {
	w.t.Helper()
	eventually(w.t, patience, "every task is settled", func() bool {
		return w.left("DISPATCH_TASKS") == 0 && w.left("KV_dispatch_run") == 0
	})
	records := w.perTask(w.stream("DISPATCH_EVENTS"), w.subject("dispatch.done.*"))
	stages := w.perTask(w.stream("DISPATCH_EVENTS"), w.subject("dispatch.event.*.stage"))
	events, ends := w.perTask(w.events()), w.perTask(w.logs(), w.subject("build.log.end.*"))
	var sum tally
	for _, k := range sent {
		said := events[k.id]
		if len(records[k.id]) != 1 || len(said) != 2 || len(ends[k.deployment()]) != 1 {
			w.t.Errorf("task %s (%s): %d records, %d legacy events, %d ends of its log; want 1, 2 and 1",
				k.id, k.params["imageName"], len(records[k.id]), len(said), len(ends[k.deployment()]))
			continue
		}
		if said[0].kind != "deployment.status.changed" || said[1].kind == said[0].kind {
			w.t.Errorf("task %s: the events are %v", k.id, said)
		}
		sum.moved += max(0, workersOf(stages[k.id])-1)
		sum.longest = max(sum.longest, said[1].at.Sub(k.at))
	}
	if len(records) != len(sent) {
		w.t.Errorf("%d tasks have records, %d were sent", len(records), len(sent))
	}
	return sum
}

func (k task) deployment() string {
	id, _ := k.params["deploymentId"].(string)
	return id
}

// left is how many messages a stream or bucket of dispatchd's holds.
func (w *world) left(stream string) uint64 {
	w.t.Helper()
	bucket, isBucket := strings.CutPrefix(stream, "KV_")
	name := w.stream(bucket)
	if isBucket {
		name = "KV_" + name
	}
	s, err := w.js.Stream(brief(w.t), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// told is one message about a task; only run events name a worker.
type told struct {
	kind   string
	at     time.Time
	worker string
}

// perTask reads a stream once and sorts its messages by the task that their
// header names, or by the id in their subject.
func (w *world) perTask(stream string, filter ...string) map[string][]told {
	w.t.Helper()
	consumer, err := w.js.OrderedConsumer(brief(w.t), stream, jetstream.OrderedConsumerConfig{FilterSubjects: filter})
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := consumer.Info(brief(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	// Thousands of messages: they are not asked for one by one.
	messages, err := consumer.Messages()
	if err != nil {
		w.t.Fatal(err)
	}
	defer messages.Stop()
	all := map[string][]told{}
	for range info.NumPending {
		msg, err := messages.Next(jetstream.NextMaxWait(10 * time.Second))
		if err != nil {
			w.t.Fatalf("read %s: %v", stream, err)
		}
		id, about := w.read(msg)
		all[id] = append(all[id], about)
	}
	return all
}

func (w *world) read(msg jetstream.Msg) (id string, about told) {
	w.t.Helper()
	meta, err := msg.Metadata()
	if err != nil {
		w.t.Fatal(err)
	}
	about = told{kind: strings.TrimPrefix(msg.Subject(), w.subject("")), at: meta.Timestamp}
	tokens := strings.Split(about.kind, ".")
	switch id = msg.Headers().Get("Dispatch-Task-Id"); tokens[0] {
	case "dispatch":
		id = tokens[2]
	case "build":
		id = tokens[len(tokens)-1]
	}
	var event struct {
		Worker string `json:"worker"`
	}
	_ = json.Unmarshal(msg.Data(), &event)
	about.worker = event.Worker
	return id, about
}
