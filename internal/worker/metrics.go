package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The results of a stage, as a label.
const (
	stageDone   = "done"
	stageFailed = "failed"
)

// Metrics are the pool's. Every label is a closed set: no ids.
type Metrics struct {
	tasks        *prometheus.CounterVec
	failures     *prometheus.CounterVec
	taskSeconds  *prometheus.HistogramVec
	stageSeconds *prometheus.HistogramVec
	slotsTotal   prometheus.Gauge
	slotsBusy    prometheus.Gauge
	drainingNow  prometheus.Gauge
	queueWait    prometheus.Histogram
	deliveries   *prometheus.CounterVec
	settlements  *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	panics       prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_tasks_total",
			Help: "Tasks that ended, by kind, outcome and whose fault a failure was.",
		}, []string{"kind", "outcome", "fault"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_task_failures_total",
			Help: "Tasks that failed, by the stage they were in and the reason.",
		}, []string{"stage", "reason"}),
		taskSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dispatchd_task_duration_seconds",
			Help:    "Time from a task's receipt to its settlement.",
			Buckets: []float64{1, 5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 750, 900, 960},
		}, []string{"kind", "outcome"}),
		stageSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dispatchd_stage_duration_seconds",
			Help:    "Time that a task spent in a stage.",
			Buckets: []float64{.1, .5, 1, 3, 10, 30, 60, 120, 300, 600, 900},
		}, []string{"stage", "result"}),
		slotsTotal: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatchd_worker_slots",
			Help: "How many tasks this worker runs at once.",
		}),
		slotsBusy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatchd_worker_slots_busy",
			Help: "How many of the slots have a task.",
		}),
		drainingNow: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatchd_draining",
			Help: "1 while the worker takes no more tasks and waits for the running ones.",
		}),
		queueWait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "dispatchd_queue_wait_seconds",
			Help:    "Time from a task's arrival in the queue to its first delivery.",
			Buckets: []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 900},
		}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_deliveries_total",
			Help: "Messages received, by how often they had been delivered.",
		}, []string{"delivery"}),
		settlements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_deliveries_settled_total",
			Help: "Messages by what became of them.",
		}, []string{"result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatchd_dead_letters_total",
			Help: "Messages put into the dead letters, by reason.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dispatchd_panics_total",
			Help: "Panics caught in a step.",
		}),
	}
	reg.MustRegister(m.tasks, m.failures, m.taskSeconds, m.stageSeconds, m.slotsTotal, m.slotsBusy, m.drainingNow,
		m.queueWait, m.deliveries, m.settlements, m.refusals, m.panics)
	return m
}

// RegisterOldestRunning adds the gauge that a stuck task shows in.
func RegisterOldestRunning(reg prometheus.Registerer, pool *Pool) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dispatchd_inflight_oldest_seconds",
		Help: "For how long the longest running task has run.",
	},
		func() float64 { return pool.OldestRunning().Seconds() }))
}

func (m *Metrics) slots(n int)           { m.slotsTotal.Set(float64(n)) }
func (m *Metrics) busy(n int)            { m.slotsBusy.Add(float64(n)) }
func (m *Metrics) draining()             { m.drainingNow.Set(1) }
func (m *Metrics) panicked()             { m.panics.Inc() }
func (m *Metrics) settled(result string) { m.settlements.WithLabelValues(result).Inc() }
func (m *Metrics) refused(reason tasks.Reason) {
	m.refusals.WithLabelValues(string(reason)).Inc()
}

func (m *Metrics) fetched(msg Message) {
	label := "3+"
	switch msg.Deliveries {
	case 0, 1:
		label = "1"
		if !msg.Queued.IsZero() {
			m.queueWait.Observe(max(0, time.Since(msg.Queued).Seconds()))
		}
	case 2:
		label = "2"
	}
	m.deliveries.WithLabelValues(label).Inc()
}

func (m *Metrics) stage(s tasks.Stage, result string, took time.Duration) {
	m.stageSeconds.WithLabelValues(string(s), result).Observe(took.Seconds())
}

func (m *Metrics) ended(s Settlement, took time.Duration) {
	kind, fault := kindLabel(s.Kind), s.Fault
	if s.Succeeded() {
		fault = tasks.FaultNone
	} else {
		m.failures.WithLabelValues(string(s.Stage), string(s.Reason)).Inc()
	}
	if s.DeadLetter {
		m.refused(s.Reason)
	}
	m.tasks.WithLabelValues(kind, s.Status, string(fault)).Inc()
	m.taskSeconds.WithLabelValues(kind, s.Status).Observe(took.Seconds())
}

// kindLabel keeps the label closed: a refused task may name anything.
func kindLabel(k tasks.Kind) string {
	for _, known := range tasks.Kinds() {
		if k == known {
			return string(k)
		}
	}
	return "unknown"
}
