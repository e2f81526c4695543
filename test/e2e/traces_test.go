//go:build e2e

package e2e_test

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

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// collector keeps the spans that it gets, as OpenTelemetry's own messages.
type collector struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// below names the spans under a parent, in the order in which they began.
func (c *collector) below(parent string) (names []string, first string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*tracepb.Span
	for _, span := range c.spans {
		if hex.EncodeToString(span.GetParentSpanId()) == parent {
			found = append(found, span)
		}
	}
	slices.SortFunc(found, func(a, b *tracepb.Span) int { return int(a.GetStartTimeUnixNano() - b.GetStartTimeUnixNano()) })
	for _, span := range found {
		names = append(names, span.GetName())
	}
	if len(found) > 0 {
		first = hex.EncodeToString(found[0].GetSpanId())
	}
	return names, first
}

func TestADeploymentIsOneTrace(t *testing.T) {
	t.Parallel()
	spans := new(collector)
	server := httptest.NewServer(spans)
	t.Cleanup(server.Close)
	source := newSource(t, sample(t, testbed.Sample{Version: "1", Base: shared.base}))
	w := newWorld(t, worldOptions{env: []string{github(source), "OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL}})
	p := w.start()
	s := w.send(repository(t, "traced", "acme/app"))
	w.succeeded(s, patience)
	eventually(t, 10*time.Second, "the task is settled", func() bool { return len(p.logged("task settled")) == 1 })
	w.stop(p) // the drain sends what is queued

	const trace, publisher = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	names, attempt := spans.below(publisher)
	if fmt.Sprint(names) != "[deploy-repository]" {
		t.Fatalf("below the publisher's span: %v", names)
	}
	stages, _ := spans.below(attempt)
	if got, want := strings.Join(stages, " "), "accept clone configure build push render register watch"; got != want {
		t.Errorf("stages: %s, want %s", got, want)
	}
	for _, event := range w.said(s) {
		if got, want := event.header.Get("traceparent"), "00-"+trace+"-"+attempt+"-01"; got != want {
			t.Errorf("%s: traceparent %q, want %q", event.subject, got, want)
		}
	}
	for line := range strings.Lines(p.err.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["task_id"] == s.id && (fields["trace_id"] != trace || fields["step"] == nil || fields["attempt"] == nil) {
			t.Errorf("a line without its ids: %s", line)
		}
	}
}

func TestACollectorThatIsAwayChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}})
	p := w.start()
	w.succeeded(w.send(image(t, "untraced", shared.bed.Registry.Addr()+"/apps/none", "1").with(params{"deploy": "noop"})), patience)
	began := time.Now()
	w.stop(p)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("the drain took %s", took)
	}
	if n := len(p.logged("spans are lost; tasks go on")); n != 1 {
		t.Errorf("the log says %d times that spans are lost, want once", n)
	}
}
