//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
)

// TestRunOnceRefusalsHaveTheTextsThatScriptsLookFor pins exit code and text.
func TestRunOnceRefusalsHaveTheTextsThatScriptsLookFor(t *testing.T) {
	t.Parallel()
	good := `{"jobId":"app","imageName":"app","deploymentId":"dep-1","serviceId":"srv-1","deploy":"noop"}`
	for _, c := range []struct {
		name string
		env  []string
		want string
	}{
		{"no task", nil, "NOMAD_META_TASK is not set"},
		{"no task before anything else", []string{"NOMAD_META_PARAMS=garbage"}, "NOMAD_META_TASK is not set"},
		{"unknown task", []string{"NOMAD_META_TASK=deploy-everything"}, "unknown task"},
		{"no params", []string{"NOMAD_META_TASK=deploy-image"}, "NOMAD_META_PARAMS is not set"},
		{"params that are no JSON", []string{"NOMAD_META_TASK=deploy-image", "NOMAD_META_PARAMS={garbage"}, "failed to parse"},
		{"base64 of garbage", []string{"NOMAD_META_TASK=deploy-image", "NOMAD_META_PARAMS=" + base64.StdEncoding.EncodeToString([]byte("garbage"))}, "failed to parse"},
		{"a seed that is none", []string{"NOMAD_META_TASK=deploy-image", "NOMAD_META_PARAMS=" + good, "NATS_CLIENT_PRIVATE_KEY=SUGARBAGE"}, "failed to parse"},
		{"no NATS servers", []string{"NOMAD_META_TASK=deploy-image", "NOMAD_META_PARAMS=" + good, "NATS_SERVERS="}, "failed to initialize NATS"},
		{"NATS that does not answer", []string{"NOMAD_META_TASK=deploy-image", "NOMAD_META_PARAMS=" + good, "NATS_SERVERS=nats://127.0.0.1:1", "DISPATCHD_NATS_CONNECT_TIMEOUT=1s"}, "failed to initialize NATS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{})
			p := startProcess(t, withEnv(w.env, c.env...), "run-once")
			if code := p.exit(15 * time.Second); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			last := p.err.tail(1)
			if !strings.Contains(last, c.want) || strings.Contains(last, "SUGARBAGE") {
				t.Errorf("the last line is %q, want %q in it", last, c.want)
			}
			if events := w.all(w.events()); len(events) > 0 {
				t.Errorf("a refusal published %v", events)
			}
		})
	}
}

// TestRunOnceOfAnInvalidTaskTellsItsOwner: the ids can be read, so the
// deployment fails in public, without IN_PROGRESS.
func TestRunOnceOfAnInvalidTaskTellsItsOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	k := image(t, "invalid", "app", "1").with(params{"cpu": "many", "deploy": "somewhere"}).dispatched()
	p := w.once(k)
	w.sent[0].refused = true
	if code := p.exit(time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	wantAll(t, "standard error", p.err.tail(1), "params.cpu", "params.deploy")
	events := w.said(w.sent[0])
	if len(events) != 1 || events[0].subject != "deployment.failed" {
		t.Fatalf("events: %v, want deployment.failed alone", events)
	}
	wantAll(t, "the header", events[0].header.Get("Dispatch-Error"), "params.cpu", "params.deploy")
}

// TestRunOnceOfATaskThatHasEndedDoesNothing exits as the first time.
func TestRunOnceOfATaskThatHasEndedDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	for _, c := range []struct {
		name   string
		change params
		code   int
	}{
		{"success", nil, 0},
		{"failure", params{"imageTag": "not-there", "deploy": "nomad-pack"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := image(t, "twice", pushHello(t, "twice", "1"), "1").with(params{"deploy": "noop"}).with(c.change).dispatched()
			if code := w.once(k).exit(time.Second); code != c.code {
				t.Errorf("the first run ends with %d, want %d", code, c.code)
			}
			again := startProcess(t, withEnv(w.env, k.meta(t)...), "run-once")
			if code := again.exit(30 * time.Second); code != c.code {
				t.Errorf("the second run ends with %d, want %d:\n%s", code, c.code, again.err.tail(10))
			}
		})
	}
}

// TestRunOnceWithCredentialsThatMayOnlyPublish is an old runner: it deploys,
// warns once, and what it says is what it always said.
func TestRunOnceWithCredentialsThatMayOnlyPublish(t *testing.T) {
	t.Parallel()
	legacy := &embednats.Permission{Allow: []string{"*.deployment.>", "*.job.destroyed", "*.build.log.>"}}
	server := natstest.RunWith(t, embednats.Options{Users: []embednats.User{
		{Name: "backend", Password: "backend"},
		{Name: "runner", Password: "runner", Publish: legacy, Subscribe: &embednats.Permission{Allow: []string{"_INBOX.>"}}},
	}})
	w := newWorld(t, worldOptions{server: server.ClientURL(), login: []nats.Option{nats.UserInfo("backend", "backend")}})
	k := image(t, "old-runner", pushHello(t, "old-runner", "1"), "1").dispatched()
	runner := "NATS_SERVERS=" + strings.Replace(server.ClientURL(), "://", "://runner:runner@", 1)
	p := w.once(k, runner)
	s := w.sent[0]
	s.unrecorded = true
	if code := p.exit(time.Second); code != 0 {
		t.Fatalf("exit code %d, want 0:\n%s", code, p.err.tail(20))
	}
	warnings := 0
	for entry := range strings.Lines(p.err.String()) {
		if strings.Contains(entry, `"level":"warn"`) {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings, want 1:\n%s", warnings, p.err.String())
	}
	if events := w.said(s); len(events) != 2 || events[1].subject != "deployment.succeeded" {
		t.Errorf("events: %v, want IN_PROGRESS and deployment.succeeded", events)
	}
	if lines, ends := w.log(s); len(lines) == 0 || len(ends) != 1 {
		t.Errorf("the log has %d lines and %d ends", len(lines), len(ends))
	}
	if got, want := answer(t, k.job()), "hello from dev\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
}

// TestRunOnceThatIsStoppedFailsInPublic: a supervisor's SIGTERM never leaves
// the backend without an end.
func TestRunOnceThatIsStoppedFailsInPublic(t *testing.T) {
	t.Parallel()
	w, k := slowWorld(t, "30", worldOptions{})
	k = k.dispatched()
	s := w.expect(k)
	p := startProcess(t, withEnv(w.env, k.meta(t)...), "run-once")
	buildRuns(w, s)
	p.terminate()
	if code := p.exit(15 * time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	r := w.failed(s, 5*time.Second, "interrupted", "build")
	if r.Class != "cancelled" {
		t.Errorf("the class is %q, want cancelled", r.Class)
	}
}

// TestRunOnceWhoseOutcomeNobodyTakesEndsWithOne takes NATS away for good: the
// process tries until a minute after its deadline.
func TestRunOnceWhoseOutcomeNobodyTakesEndsWithOne(t *testing.T) {
	t.Parallel()
	server := natstest.Run(t)
	w, k := slowWorld(t, "3", worldOptions{server: server.ClientURL()})
	w.abandoned = true
	k = k.with(params{"deploy": "noop"}).dispatched()
	deployment, _ := k.params["deploymentId"].(string)
	s := &sent{id: k.id, deployment: deployment}
	began := time.Now()
	p := startProcess(t, withEnv(w.env, append(k.meta(t), "DISPATCHD_TASK_TIMEOUT=8s")...), "run-once")
	buildRuns(w, s)
	server.Shutdown()
	if code := p.exit(90 * time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if took := time.Since(began); took < 60*time.Second || took > 80*time.Second {
		t.Errorf("it gave up after %s, want a minute after its deadline of 8s", took)
	}
	wantAll(t, "the last line", p.err.tail(1), "could not be delivered")
}
