package ops

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/queue"
)

// queueEvery is the time between two looks at the queue.
const queueEvery = 5 * time.Second

// QueueWatch looks at the queue in turns and exports what it sees. Every worker
// exports the same numbers: take the max of them, never the sum.
type QueueWatch struct {
	reader  *queue.Reader
	pending *prometheus.GaugeVec
	oldest  prometheus.Gauge
	letters prometheus.Gauge

	mu   sync.Mutex
	last queue.Stats
	err  error
}

// NewQueueWatch registers the queue's metrics.
func NewQueueWatch(reg prometheus.Registerer, reader *queue.Reader) *QueueWatch {
	w := &QueueWatch{
		reader: reader, err: errNotAsked,
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dispatchd_queue_pending",
			Help: "Tasks in the queue: runnable ones wait for a slot, running ones have one, retry ones were handed back or lost their worker, blocked ones were seen to wait for another task of their job.",
		}, []string{"state"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatchd_queue_oldest_pending_age_seconds",
			Help: "For how long the oldest runnable task has waited.",
		}),
		letters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatchd_dlq_messages",
			Help: "Messages in the dead letters.",
		}),
	}
	reg.MustRegister(w.pending, w.oldest, w.letters)
	return w
}

// Run looks until ctx ends.
func (w *QueueWatch) Run(ctx context.Context) {
	ticker := time.NewTicker(queueEvery)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *QueueWatch) look(ctx context.Context) {
	stats, err := w.reader.Stats(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	if err != nil {
		return
	}
	w.last = stats
	w.pending.WithLabelValues("runnable").Set(float64(stats.Runnable))
	w.pending.WithLabelValues("running").Set(float64(stats.Running))
	w.pending.WithLabelValues("retry").Set(float64(stats.Retry))
	w.pending.WithLabelValues("blocked").Set(float64(stats.Blocked))
	w.oldest.Set(stats.OldestPending.Seconds())
	w.letters.Set(float64(stats.DeadLetters))
}

// Last returns what the last look saw, and why it saw nothing.
func (w *QueueWatch) Last() (queue.Stats, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.err
}
