package ops_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/ops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMetricsAreReadAsPrometheusReadsThem asks as Prometheus does, which would
// rather have other formats, and reads the answer with its own parser.
func TestMetricsAreReadAsPrometheusReadsThem(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	told := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "told_total", Help: "With \"quotes\"\nand lines."}, []string{"kind"})
	told.WithLabelValues("a\\\"b\n").Add(3)
	took := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took_seconds", Help: "Time.", Buckets: []float64{1, 2}})
	took.Observe(1.5)
	registry.MustRegister(told, took)
	server, err := ops.Listen(t.Context(), "127.0.0.1:0", registry, ops.NewProbes(registry), ops.NewQueueWatch(registry, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close(t.Context()) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Addr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2")
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/plain; version=0.0.4") || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("status %d, type %q", resp.StatusCode, got)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	if m := families["told_total"].GetMetric()[0]; m.GetCounter().GetValue() != 3 || m.GetLabel()[0].GetValue() != "a\\\"b\n" {
		t.Errorf("the counter is %v", m)
	}
	if h := families["took_seconds"].GetMetric()[0].GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() != 1.5 || len(h.GetBucket()) != 3 {
		t.Errorf("the histogram is %v", h)
	}
}
