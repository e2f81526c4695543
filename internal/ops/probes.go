package ops

import (
	"context"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// probeEvery is the time between two probes of a dependency; probeTimeout is
	// how long one may take.
	probeEvery   = 10 * time.Second
	probeTimeout = 5 * time.Second
)

// Probe asks one dependency whether it is there.
type Probe struct {
	// Name is the metrics' label and what /readyz says: "nats", "nomad", …
	Name string
	// Ask returns nil where the dependency answers.
	Ask func(ctx context.Context) error
}

// Probes asks every dependency in turns and keeps the last answers.
type Probes struct {
	probes []Probe
	up     *prometheus.GaugeVec
	took   *prometheus.HistogramVec

	mu   sync.Mutex
	last map[string]error
}

// NewProbes registers the probes' metrics. Nothing is asked before Run.
func NewProbes(reg prometheus.Registerer, probes ...Probe) *Probes {
	p := &Probes{
		probes: probes, last: map[string]error{},
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dispatchd_dependency_up",
			Help: "1 where the dependency answered its last probe.",
		}, []string{"dep"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dispatchd_dependency_probe_seconds",
			Help: "Time that a probe took.", Buckets: []float64{.001, .01, .1, .5, 1, 5},
		}, []string{"dep"}),
	}
	reg.MustRegister(p.up, p.took)
	for _, probe := range probes {
		p.up.WithLabelValues(probe.Name).Set(0)
		p.last[probe.Name] = errNotAsked
	}
	return p
}

// Run asks until ctx ends.
func (p *Probes) Run(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		p.askAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *Probes) askAll(ctx context.Context) {
	var asked sync.WaitGroup
	for _, probe := range p.probes {
		asked.Go(func() { p.ask(ctx, probe) })
	}
	asked.Wait()
}

func (p *Probes) ask(ctx context.Context, probe Probe) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	began := time.Now()
	err := probe.Ask(ctx)
	p.took.WithLabelValues(probe.Name).Observe(time.Since(began).Seconds())
	up := 1.0
	if err != nil {
		up = 0
	}
	p.up.WithLabelValues(probe.Name).Set(up)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[probe.Name] = err
}

// Away returns a sentence for each dependency that did not answer, by name.
func (p *Probes) Away() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var away []string
	for name, err := range p.last {
		if err != nil {
			away = append(away, name+": "+err.Error())
		}
	}
	sort.Strings(away)
	return away
}
