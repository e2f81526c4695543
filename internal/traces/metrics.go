package traces

import "github.com/prometheus/client_golang/prometheus"

// Why spans were lost, as a label.
const (
	lostQueueFull   = "queue_full"
	lostUnreachable = "unreachable"
	lostRefused     = "refused"
)

// Metrics are the exporter's.
type Metrics struct {
	exported prometheus.Counter
	dropped  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dispatchd_spans_exported_total",
			Help: "Spans that the OTLP collector has taken.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_spans_dropped_total",
			Help: "Spans that were lost, by why: the queue was full, the collector was away or refused them.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.exported, m.dropped)
	return m
}

func (m *Metrics) sent(spans int)             { m.exported.Add(float64(spans)) }
func (m *Metrics) lost(why string, spans int) { m.dropped.WithLabelValues(why).Add(float64(spans)) }
