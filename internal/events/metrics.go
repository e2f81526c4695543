package events

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the publisher's. Labels are closed sets.
type Metrics struct {
	events      *prometheus.CounterVec
	failures    *prometheus.CounterVec
	seconds     prometheus.Histogram
	runLost     prometheus.Counter
	lines       prometheus.Counter
	bytes       prometheus.Counter
	dropped     prometheus.Counter
	lag         prometheus.Gauge
	logFailures prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_events_published_total",
			Help: "Events that the server has, by kind and whether it had them before.",
		}, []string{"kind", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_event_publish_failures_total",
			Help: "Tries to publish an event that failed, by kind. They are repeated.",
		}, []string{"kind"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dispatchd_event_publish_seconds",
			Help: "Time until the server had an event.", Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5},
		}),
		runLost:     counter("dispatchd_run_events_lost_total", "Run events that could not be sent. They are not repeated."),
		lines:       counter("dispatchd_log_lines_total", "Build log lines that are out."),
		bytes:       counter("dispatchd_log_bytes_total", "Bytes of build log content that are out."),
		dropped:     counter("dispatchd_log_dropped_lines_total", "Build log lines dropped because their stream was slower than the build."),
		logFailures: counter("dispatchd_log_publish_failures_total", "Tries to publish log lines that failed. They are repeated."),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatchd_log_lag_seconds",
			Help: "Time from a log line to its publication, for the newest batch.",
		}),
	}
	reg.MustRegister(m.events, m.failures, m.seconds, m.runLost, m.lines, m.bytes, m.dropped, m.lag, m.logFailures)
	return m
}

func (m *Metrics) published(kind string, took time.Duration, err error, duplicate bool) {
	if err != nil {
		m.failures.WithLabelValues(kind).Inc()
		return
	}
	result := "stored"
	if duplicate {
		result = "duplicate"
	}
	m.events.WithLabelValues(kind, result).Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *Metrics) runEventLost() { m.runLost.Inc() }
