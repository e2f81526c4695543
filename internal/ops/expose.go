package ops

import (
	"bytes"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// textFormat is the exposition format that every Prometheus reads, whatever it
// asks for first.
const textFormat = "text/plain; version=0.0.4; charset=utf-8"

// expose writes all metrics. It stands in for promhttp, whose other formats,
// compression and instrumentation take 279 kB that no scrape of ours needs.
func expose(w http.ResponseWriter, metrics prometheus.Gatherer) {
	families, err := metrics.Gather()
	if err != nil {
		answer(w, http.StatusInternalServerError, "gather the metrics: "+err.Error()+"\n")
		return
	}
	var page bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&page, family); err != nil {
			answer(w, http.StatusInternalServerError, "write the metrics: "+err.Error()+"\n")
			return
		}
	}
	w.Header().Set("Content-Type", textFormat)
	_, _ = w.Write(page.Bytes())
}
