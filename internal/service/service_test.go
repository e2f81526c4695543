package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noopParams ask for a deployment that neither registry nor Nomad is asked for.
const noopParams = `{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","deploymentJobId":"7","deploy":"noop"}`

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// hostFor makes a host whose settings are the given variables. The environment
// is the process's, so these tests are not parallel.
func hostFor(t *testing.T, variables map[string]string) (service.Host, *syncBuffer) {
	t.Helper()
	t.Setenv("DISPATCHD_WORK_DIR", t.TempDir())
	t.Setenv("DISPATCHD_HTTP_ADDR", "127.0.0.1:0")
	for name, value := range variables {
		t.Setenv(name, value)
	}
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := new(syncBuffer)
	redactor := redact.New(cfg.Secrets()...)
	logger, err := logging.New(logging.Options{Level: "debug", Format: "json", Out: log}, redactor)
	if err != nil {
		t.Fatal(err)
	}
	return service.Host{Config: cfg, Version: service.Version{Number: "test"}, Log: logger, Redactor: redactor}, log
}

// backend makes the backend's streams and returns a JetStream handle.
func backend(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, subjects := range map[string][]string{"DEPLOYMENTS": {"deployment.>", "job.destroyed"}, "LOGS": {"build.log.>"}} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			t.Fatal(err)
		}
	}
	return js
}

// subjectsOf lists the subjects of a stream's messages in their order.
func subjectsOf(t *testing.T, js jetstream.JetStream, name string) string {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, msg.Subject)
	}
	return strings.Join(all, " ")
}

func TestRunOnceCarriesOutItsTask(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NOMAD_META_TASK": "deploy-image",
		"NOMAD_META_PARAMS": base64.StdEncoding.EncodeToString([]byte(noopParams)), "NOMAD_JOB_ID": "deploy/dispatch-1700000000-0a1b2c3d",
	})
	for range 2 { // a restarted allocation is the same request
		if err := service.RunOnce(t.Context(), host); err != nil {
			t.Fatalf("RunOnce() = %v\n%s", err, log)
		}
	}
	if got, want := subjectsOf(t, js, "DEPLOYMENTS"), "deployment.status.changed deployment.succeeded"; got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
	if got, want := subjectsOf(t, js, "LOGS"), "build.log.end.d1"; !strings.HasSuffix(got, want) || strings.Count(got, want) != 1 {
		t.Errorf("log: %s, want one end", got)
	}
	if _, err := js.Stream(t.Context(), "DISPATCH_TASKS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("run-once made a work queue: %v", err)
	}
}

func TestRunOnceRefusesInTheOrderOfTheContract(t *testing.T) {
	t.Setenv("DISPATCHD_NATS_CONNECT_TIMEOUT", "200ms")
	task, params := "NOMAD_META_TASK", "NOMAD_META_PARAMS"
	tests := []struct {
		name      string
		variables map[string]string
		want      string
	}{
		{"nothing set", nil, "NOMAD_META_TASK is not set"},
		{"unknown task", map[string]string{task: "dance"}, "unknown task"},
		{"no params", map[string]string{task: "deploy-image"}, "NOMAD_META_PARAMS is not set"},
		{"garbage params", map[string]string{task: "deploy-image", params: "%%%"}, "failed to parse"},
		{"no servers", map[string]string{task: "deploy-image", params: noopParams}, "failed to initialize NATS"},
		{"nobody answers", map[string]string{task: "deploy-image", params: noopParams, "NATS_SERVERS": "nats://127.0.0.1:1"}, "failed to initialize NATS"},
		{"garbage seed", map[string]string{task: "deploy-image", params: noopParams, "NATS_SERVERS": "nats://127.0.0.1:1", "NATS_CLIENT_PRIVATE_KEY": "SUgarbage"}, "failed to parse"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host, _ := hostFor(t, test.variables)
			err := service.RunOnce(t.Context(), host)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("RunOnce() = %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestAnInvalidTaskWithItsIDsIsToldToTheBackend(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	host, _ := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NOMAD_META_TASK": "deploy-image",
		"NOMAD_META_PARAMS": `{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","cpu":"many","deploy":"rocket"}`,
	})
	err := service.RunOnce(t.Context(), host)
	if err == nil || !strings.Contains(err.Error(), "params.cpu") || !strings.Contains(err.Error(), "params.deploy") {
		t.Errorf("RunOnce() = %v, want both problems with their paths", err)
	}
	if got := subjectsOf(t, js, "DEPLOYMENTS"); got != "deployment.failed" {
		t.Errorf("events: %s, want deployment.failed without IN_PROGRESS", got)
	}
}

// oldRunner is a server with a backend that may do everything and an old
// runner that may only publish the status and log subjects.
func oldRunner(t *testing.T) (url string, seed string, asBackend nats.Option) {
	t.Helper()
	users := map[string]nkeys.KeyPair{}
	for _, name := range []string{"backend", "runner"} {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		users[name] = pair
	}
	public := func(name string) string {
		key, err := users[name].PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	server := natstest.RunWith(t, embednats.Options{Users: []embednats.User{
		{NKey: public("backend")},
		{
			NKey: public("runner"), Publish: &embednats.Permission{Allow: []string{"deployment.>", "job.destroyed", "build.log.>"}},
			Subscribe: &embednats.Permission{Allow: []string{"_INBOX.>"}},
		},
	}})
	text, err := users["runner"].Seed()
	if err != nil {
		t.Fatal(err)
	}
	return server.ClientURL(), string(text), nats.Nkey(public("backend"), users["backend"].Sign)
}

func TestRunOnceWorksWithAnOldRunnersRights(t *testing.T) {
	url, seed, asBackend := oldRunner(t)
	js := backend(t, url, asBackend)
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": url, "NATS_CLIENT_PRIVATE_KEY": seed, "NOMAD_META_TASK": "deploy-image", "NOMAD_META_PARAMS": noopParams,
	})
	began := time.Now()
	if err := service.RunOnce(t.Context(), host); err != nil {
		t.Fatalf("RunOnce() = %v\n%s", err, log)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s: a refusal must not be waited out", took)
	}
	if got, want := subjectsOf(t, js, "DEPLOYMENTS"), "deployment.status.changed deployment.succeeded"; got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
	if n := strings.Count(log.String(), "deduplicated by Nats-Msg-Id alone"); n != 1 {
		t.Errorf("warned %d times, want once:\n%s", n, log)
	}
	if strings.Contains(log.String(), seed) {
		t.Error("the seed stands in the log")
	}
}

func TestRunNamesTheSubjectThatNoStreamCovers(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	if err := js.DeleteStream(t.Context(), "DEPLOYMENTS"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SOME", Subjects: []string{"deployment.>"}}); err != nil {
		t.Fatal(err)
	}
	host, _ := hostFor(t, map[string]string{"NATS_SERVERS": server.ClientURL()})
	err := service.Run(t.Context(), host)
	var missing *service.NoStreamError
	if !errors.As(err, &missing) || len(missing.Subjects) != 1 || missing.Subjects[0] != "job.destroyed" {
		t.Errorf("Run() = %v, want that job.destroyed has no stream", err)
	}
}

// start runs the service until the test ends and returns its log.
func start(t *testing.T, host service.Host, log *syncBuffer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx, host) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v\n%s", err, log)
		}
	})
	t.Cleanup(stop)
	eventually(t, func() bool { return strings.Contains(log.String(), "ready for tasks") })
	return stop
}

// eventually polls a condition until it holds or ten seconds are over.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("it did not happen within 10 s")
		}
	}
}

func TestTheServiceStartsWithoutNomadAndBuildKitAndSaysSo(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	port := freePort(t)
	t.Setenv("DISPATCHD_HTTP_ADDR", port)
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NOMAD_ADDR": "http://127.0.0.1:1", "BUILDKIT_HOST": "unix:///nowhere/buildkitd.sock",
		"DISPATCHD_REGISTRY": "127.0.0.1:1/apps",
	})
	host.Config.HTTPAddr = port
	start(t, host, log)

	eventually(t, func() bool {
		code, body := get(t, "http://"+port+"/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "nomad:") && strings.Contains(body, "buildkit:") &&
			strings.Contains(body, "registry:") && !strings.Contains(body, "not asked") && !strings.Contains(body, "nats:")
	})
	if code, body := get(t, "http://"+port+"/healthz"); code != http.StatusOK || body != "alive\n" {
		t.Errorf("/healthz = %d %q", code, body)
	}

	client, err := service.NewClient(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	submissions, err := service.SplitTask([]byte(`{"task":"deploy-image","params":` + noopParams + `}`))
	if err != nil {
		t.Fatal(err)
	}
	var heard []service.Update
	settled, err := client.Follow(t.Context(), submissions[0], func(u service.Update) { heard = append(heard, u) })
	if err != nil || !settled.Succeeded() {
		t.Fatalf("Follow() = %+v, %v", settled, err)
	}
	if len(heard) < 3 || heard[0].Queued == nil || heard[len(heard)-1].Settled == nil {
		t.Errorf("heard %+v, want queued first and settled last", heard)
	}
	// The end is heard before the message is acknowledged.
	eventually(t, func() bool {
		_, err := client.Follow(t.Context(), submissions[0], func(service.Update) {})
		return err != nil && strings.Contains(err.Error(), "already ended")
	})
	// The follower hears of the end before the legacy event is out, and before the
	// message is acknowledged and counted.
	eventually(t, func() bool {
		return subjectsOf(t, js, "DEPLOYMENTS") == "deployment.status.changed deployment.succeeded"
	})
	for _, want := range []string{
		`dispatchd_tasks_total{fault="none",kind="deploy-image",outcome="succeeded"} 1`, `dispatchd_dependency_up{dep="nomad"} 0`,
		`dispatchd_dependency_up{dep="nats"} 1`, `dispatchd_worker_slots 4`, `dispatchd_queue_oldest_pending_age_seconds`,
	} {
		eventually(t, func() bool {
			_, metrics := get(t, "http://"+port+"/metrics")
			return strings.Contains(metrics, want)
		})
	}
}

func TestAnUndecodableMessageNeverBlocksTheQueue(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	host, log := hostFor(t, map[string]string{"NATS_SERVERS": server.ClientURL(), "NOMAD_ADDR": "http://127.0.0.1:1", "DISPATCHD_SLOTS": "1"})
	stop := start(t, host, log)
	for subject, body := range map[string]string{
		"dispatch.task.deploy-image.web.bad-1": "no json", "dispatch.task.what": "{}", "dispatch.task.deploy-image.web.bad-2": `{"task":"deploy-image","params":[]}`,
		"dispatch.task.deploy-image.web.good": `{"task":"deploy-image","params":` + noopParams + `}`,
	} {
		if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool {
		stream, err := js.Stream(t.Context(), "DISPATCH_TASKS")
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	stop()
	stream, err := js.Stream(t.Context(), "DISPATCH_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("%d dead letters, want 3", n)
	}
	if got, want := subjectsOf(t, js, "DEPLOYMENTS"), "deployment.status.changed deployment.succeeded"; got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAnOpenConnectionDoesNotChangeTheExitOfADrain(t *testing.T) {
	server := natstest.Run(t)
	backend(t, server.ClientURL())
	port := freePort(t)
	host, log := hostFor(t, map[string]string{"NATS_SERVERS": server.ClientURL(), "DISPATCHD_HTTP_ADDR": port})
	stop := start(t, host, log)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stop()
}
