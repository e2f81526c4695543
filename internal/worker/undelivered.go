package worker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// undelivered knows the tasks of this process that have an outcome which is not
// yet told to everybody.
type undelivered struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// begin notes an outcome; the function that it returns notes that it was told,
// or is somebody else's to tell.
func (u *undelivered) begin(id string) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.since[id] = time.Now()
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.since, id)
	}
}

// state returns how many there are, and for how long the oldest has waited.
func (u *undelivered) state() (n int, oldest time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, since := range u.since {
		oldest = max(oldest, time.Since(since))
	}
	return len(u.since), oldest
}

// RegisterUndelivered adds the gauges in which outcomes show that NATS does not take.
func RegisterUndelivered(reg prometheus.Registerer, pool *Pool) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dispatchd_undelivered_outcomes",
		Help: "Tasks of this worker that have ended and are not yet told to everybody.",
	}, func() float64 {
		n, _ := pool.undelivered.state()
		return float64(n)
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dispatchd_undelivered_outcome_age_seconds",
		Help: "For how long the oldest of them has waited.",
	}, func() float64 {
		_, oldest := pool.undelivered.state()
		return oldest.Seconds()
	}))
}
