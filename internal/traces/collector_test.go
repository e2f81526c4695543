package traces_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dispatchd/dispatchd/internal/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is an OTLP/HTTP receiver that reads with OpenTelemetry's own messages.
type collector struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*http.Request
	got      []*collectorpb.ExportTraceServiceRequest
	// answer decides about the n-th request, from 1 on; nil takes everything.
	answer func(n int, w http.ResponseWriter, r *http.Request)
}

func newCollector(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *collector {
	t.Helper()
	c := &collector{answer: answer}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	request := new(collectorpb.ExportTraceServiceRequest)
	if err := proto.Unmarshal(body, request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.requests = append(c.requests, r)
	n := len(c.requests)
	c.mu.Unlock()
	if c.answer != nil {
		c.answer(n, w, r)
	}
	c.mu.Lock()
	c.got = append(c.got, request)
	c.mu.Unlock()
}

func (c *collector) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

// spans are all that came, by name.
func (c *collector) spans() map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]*tracepb.Span{}
	for _, request := range c.got {
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					all[span.GetName()] = span
				}
			}
		}
	}
	return all
}

func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		all[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return all
}

// counted is what the metrics of a tracer say.
type counted struct{ registry *prometheus.Registry }

func (c counted) value(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			if label == "" || metric.GetLabel()[0].GetValue() == label {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func newTracer(t *testing.T, settings traces.Settings) (*traces.Tracer, counted) {
	t.Helper()
	registry := prometheus.NewRegistry()
	tracer, err := traces.New(t.Context(), traces.Options{
		Settings: settings, Version: "1.2.3", Instance: "w1", BatchDelay: 5 * time.Millisecond, RetryFirst: time.Millisecond,
		Log: zap.NewNop(), Metrics: traces.NewMetrics(registry),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer, counted{registry}
}

// closed ends the tracer and gives it ten seconds for what is queued.
func closed(t *testing.T, tracer *traces.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	tracer.Close(ctx)
	if ctx.Err() != nil {
		t.Error("Close() took all of its time")
	}
}

func TestMetricsAreNamedAsPrometheusWantsThem(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	traces.NewMetrics(registry)
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
