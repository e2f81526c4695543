package service_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/service"
)

const (
	publishersTrace = "0af7651916cd43dd8448eb211c80319c"
	publishersSpan  = "b7ad6b7169203331"
	traceparent     = "00-" + publishersTrace + "-" + publishersSpan + "-01"
)

// collector is an OTLP/HTTP receiver that reads with OpenTelemetry's own messages.
type collector struct {
	*httptest.Server
	mu  sync.Mutex
	all []*tracepb.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.all = append(c.all, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// tree writes the spans below a parent in the order of their ends.
func (c *collector) tree(parent string, indent string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.below(parent, indent)
}

func (c *collector) below(parent string, indent string) string {
	var text strings.Builder
	for _, span := range c.all {
		if hex.EncodeToString(span.GetParentSpanId()) != parent {
			continue
		}
		fmt.Fprintf(&text, "%s%s", indent, span.GetName())
		if span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			fmt.Fprintf(&text, " error=%s class=%s", attribute(span, "error.type"), attribute(span, "dispatchd.class"))
		}
		if outcome := attribute(span, "dispatchd.outcome"); outcome != "" {
			text.WriteString(" outcome=" + outcome)
		}
		text.WriteString("\n" + c.below(hex.EncodeToString(span.GetSpanId()), indent+"  "))
	}
	return text.String()
}

func attribute(span *tracepb.Span, key string) string {
	for _, a := range span.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// sayNo is a git server without any repository.
func sayNo(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server
}

const missingRepository = `{"jobId":"api","repository":"acme/gone","branch":"main","gitPass":"secret-git-token","deploymentId":"deployment-two","serviceId":"s2","deploymentJobId":8}`

// publishTasks sends one task of every fate and waits until all are settled.
func publishTasks(t *testing.T, js jetstream.JetStream, log *syncBuffer) {
	t.Helper()
	send := func(subject, body string) {
		msg := nats.NewMsg("dispatch.task." + subject)
		msg.Data = []byte(body)
		msg.Header.Set("traceparent", traceparent)
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	good := `{"task":"deploy-image","params":` + noopParams + `}`
	send("deploy-image.web.good", good)
	send("deploy-repository.api.missing", `{"task":"deploy-repository","params":`+missingRepository+`}`)
	send("deploy-image.web.invalid", `{"task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d3","serviceId":"s3","cpu":"many"}}`)
	send("deploy-image.web.unreadable", "no json")
	eventually(t, func() bool {
		return strings.Count(log.String(), `"task settled"`) == 3 && strings.Contains(log.String(), `"task refused"`) && queueIsEmpty(t, js)
	})
	send("deploy-image.web.good", good)
	eventually(t, func() bool { return strings.Contains(log.String(), "ended already") && queueIsEmpty(t, js) })
}

func queueIsEmpty(t *testing.T, js jetstream.JetStream) bool {
	t.Helper()
	stream, err := js.Stream(t.Context(), "DISPATCH_TASKS")
	return err == nil && stream.CachedInfo().State.Msgs == 0
}

// ofTheProcess are the messages that are about no task.
var ofTheProcess = []string{"ready for tasks", "draining", "stopped", "NATS", "spans are lost; tasks go on"}

// taskLines returns the log's lines that are about tasks; any other must be one
// of the process.
func taskLines(t *testing.T, log string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for text := range strings.Lines(log) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, ok := line["task_id"]; ok {
			lines = append(lines, line)
			if n := strings.Count(text, `"step":`) + strings.Count(text, `"attempt":`); n != 2 {
				t.Errorf("a line has its step or attempt twice or not at all: %s", text)
			}
			continue
		}
		if message, _ := line["msg"].(string); !slices.Contains(ofTheProcess, message) {
			t.Errorf("a line that names no task: %s", text)
		}
	}
	return lines
}

func TestEachLogLineOfATaskHasItsIDs(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NOMAD_ADDR": "http://127.0.0.1:1", "DISPATCHD_GITHUB_URL": sayNo(t).URL, "DISPATCHD_SLOTS": "1",
		"BACKEND_URL": "http://127.0.0.1:1",
	})
	stop := start(t, host, log)
	publishTasks(t, js, log)
	stop()

	if n := strings.Count(log.String(), "tell the platform's API"); n == 0 {
		t.Error("no line about the platform's API, which is away")
	}
	var got []string
	for _, line := range taskLines(t, log.String()) {
		if line["trace_id"] != publishersTrace {
			t.Errorf("trace %v in %v", line["trace_id"], line)
		}
		if line["msg"] == "tell the platform's API" {
			continue // it comes from beside the task, at any moment
		}
		got = append(got, fmt.Sprintf("%v: %v %v %v attempt %v", line["msg"], line["task_id"], line["task"], line["step"], line["attempt"]))
	}
	want := []string{
		"task started: good deploy-image accept attempt 1",
		"task settled: good deploy-image configure attempt 1",
		"task started: missing deploy-repository accept attempt 1",
		"attempt failed: missing deploy-repository clone attempt 1",
		"task settled: missing deploy-repository clone attempt 1",
		"attempt failed: invalid deploy-image accept attempt 1",
		"task settled: invalid deploy-image accept attempt 1",
		"task refused: unreadable deploy-image accept attempt 0",
		"the task has ended already; nothing is done again: good deploy-image accept attempt 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, event := range messages(t, js, "DEPLOYMENTS") {
		if got := event.Headers().Get("traceparent"); got != traceparent {
			t.Errorf("%s has the traceparent %q, want the publisher's where nobody traces", event.Subject(), got)
		}
	}
}

// messages reads everything that a stream holds.
func messages(t *testing.T, js jetstream.JetStream, name string) []jetstream.Msg {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	n := int(stream.CachedInfo().State.Msgs)
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var all []jetstream.Msg
	for msg := range batch.Messages() {
		all = append(all, msg)
	}
	if len(all) != n || n == 0 {
		t.Fatalf("%d messages of %s, want %d", len(all), name, n)
	}
	return all
}

func TestOneTraceGoesThroughSpansAndEvents(t *testing.T) {
	server := natstest.Run(t)
	js := backend(t, server.ClientURL())
	spans := newCollector(t)
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NOMAD_ADDR": "http://127.0.0.1:1", "DISPATCHD_GITHUB_URL": sayNo(t).URL, "DISPATCHD_SLOTS": "1",
		"OTEL_EXPORTER_OTLP_ENDPOINT": spans.URL, "NOMAD_TOKEN": "secret-nomad-token",
	})
	stop := start(t, host, log)
	publishTasks(t, js, log)
	stop() // the drain sends what is queued

	want := `deploy-image outcome=succeeded
  accept
  configure
deploy-repository error=git_not_found class=permanent outcome=failed
  accept
  clone error=git_not_found class=permanent
deploy-image error=invalid_task class=permanent outcome=failed
  accept error=invalid_task class=permanent
deploy-image error=invalid_task class=permanent outcome=discard
deploy-image outcome=duplicate
`
	if got := spans.tree(publishersSpan, ""); got != want {
		t.Errorf("spans:\n%swant:\n%s", got, want)
	}
	known := map[string]bool{}
	for _, span := range spans.all {
		if trace := hex.EncodeToString(span.GetTraceId()); trace != publishersTrace {
			t.Errorf("span %s is in trace %s", span.GetName(), trace)
		}
		known[hex.EncodeToString(span.GetSpanId())] = strings.HasPrefix(span.GetName(), "deploy-")
		if text := span.String(); strings.Contains(text, "secret-") || strings.Contains(text, "nginx") || strings.Contains(text, "deployment-two") {
			t.Errorf("a span holds a secret or a param: %s", text)
		}
	}
	seen := 0
	for _, name := range []string{"DEPLOYMENTS", "DISPATCH_EVENTS"} {
		for _, event := range messages(t, js, name) {
			parts := strings.Split(event.Headers().Get("traceparent"), "-")
			if len(parts) != 4 || parts[1] != publishersTrace || !known[parts[2]] {
				t.Errorf("%s has the traceparent %q, want one of our tasks' spans", event.Subject(), event.Headers().Get("traceparent"))
			}
			seen++
		}
	}
	if seen < 12 {
		t.Errorf("%d events were looked at", seen)
	}
}

func TestRunOnceTakesTheTraceOfItsDispatcher(t *testing.T) {
	server := natstest.Run(t)
	backend(t, server.ClientURL())
	spans := newCollector(t)
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NOMAD_META_TASK": "deploy-image", "NOMAD_META_PARAMS": noopParams,
		"NOMAD_META_TRACEPARENT": traceparent, "OTEL_EXPORTER_OTLP_ENDPOINT": spans.URL,
	})
	if err := service.RunOnce(t.Context(), host); err != nil {
		t.Fatalf("RunOnce() = %v\n%s", err, log)
	}
	if got, want := spans.tree(publishersSpan, ""), "deploy-image outcome=succeeded\n  accept\n  configure\n"; got != want {
		t.Errorf("spans:\n%swant:\n%s", got, want)
	}
	for _, line := range taskLines(t, log.String()) {
		if line["trace_id"] != publishersTrace {
			t.Errorf("trace %v in %v", line["trace_id"], line)
		}
	}
}
