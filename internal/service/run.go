package service

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/ops"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/traces"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// NoStreamError says which status subjects no stream covers: events there
// would be lost.
type NoStreamError struct{ Subjects []string }

func (e *NoStreamError) Error() string {
	return fmt.Sprintf("no stream covers %s: create one on the NATS server (it is the backend's, so dispatchd does not), or check NATS_STREAM_PREFIX",
		strings.Join(e.Subjects, ", "))
}

// Run is the service: it works until ctx ends and then drains. Nomad, BuildKit
// and the registry may be away when it starts; NATS may not.
func Run(ctx context.Context, host Host) error {
	open, err := openParts(ctx, host)
	if err != nil {
		return err
	}
	defer open.close()
	s := &service{parts: open, host: host, topology: topologyOf(host), registry: newRegistry(host.Version)}
	if s.tracer, err = newTracer(ctx, host, s.registry); err != nil {
		return err
	}
	defer closeTracer(ctx, s.tracer)
	if err := queue.EnsureService(ctx, open.bus.nc, open.bus.js, s.topology); err != nil {
		return err
	}
	return s.run(ctx)
}

// service holds the parts of a running service.
type service struct {
	*parts
	host     Host
	topology queue.Topology
	registry *prometheus.Registry
	records  *records
	tracer   *traces.Tracer
}

func (s *service) run(ctx context.Context) error {
	publisher := newPublisher(s.bus, s.host, s.topology.Events(), s.registry)
	if err := covered(ctx, publisher); err != nil {
		return err
	}
	if err := s.bus.orDenied(ctx, func(ctx context.Context) error { return s.saySingle(ctx, publisher) }); err != nil {
		return err
	}
	var err error
	if s.records, err = openRecords(ctx, s.host, s.bus, s.topology); err != nil {
		return err
	}
	pool, err := s.pool(ctx, publisher)
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	server, running, err := s.operate(background)
	if err != nil {
		return err
	}
	beside := beside{bus: s.bus, records: s.records, publisher: publisher, pool: pool, host: s.host, info: s.presence(ctx, pool)}
	watch := queue.NewWatch(s.bus.nc, s.bus.js, s.topology, s.host.Log)
	running.Go(func() { watch.Run(background) })
	unheard, err := beside.start(background, running)
	if err != nil {
		return err
	}
	defer unheard()
	s.host.Log.Info("ready for tasks", zap.String("worker", s.host.Config.Worker.ID),
		zap.Int("slots", s.host.Config.Worker.Slots), zap.String("http", server.Addr()))
	pool.Run(ctx)
	stop()
	running.Wait()
	if err := server.Close(context.WithoutCancel(ctx)); err != nil {
		s.host.Log.Warn("close the HTTP port", zap.Error(err))
	}
	s.host.Log.Info("stopped")
	return nil
}

// covered refuses to start where an event would have no stream.
func covered(ctx context.Context, publisher *events.Publisher) error {
	missing, err := publisher.Uncovered(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &NoStreamError{Subjects: missing}
	}
	return nil
}

// saySingle logs where a legacy event may stand twice after a crash: where its
// stream does not keep what is needed to see that it stands already.
func (s *service) saySingle(ctx context.Context, publisher *events.Publisher) error {
	unfenced, err := publisher.Unfenced(ctx)
	if err != nil {
		return err
	}
	for subject, why := range unfenced {
		s.host.Log.Warn("events on this subject are kept single by Nats-Msg-Id alone; see docs/guarantees.md",
			zap.String("subject", subject), zap.String("why", why))
	}
	return nil
}

func (s *service) pool(ctx context.Context, publisher *events.Publisher) (*worker.Pool, error) {
	source, err := queue.NewJetStream(ctx, s.bus.nc, s.records.leases)
	if err != nil {
		return nil, err
	}
	cfg := s.host.Config.Worker
	pool := worker.New(source, s.records.runs, publisher, s.adapters.handlerOf(s.host), worker.Options{
		Slots: cfg.Slots, TaskTimeout: cfg.TaskTimeout, DrainTimeout: cfg.DrainTimeout,
		Supersede: matcher(cfg.Supersede),
		Heartbeat: s.topology.Pace.Beat(), Reconnected: s.bus.reconnected, ReconnectGrace: s.host.Pace.AckWait,
		Workspace: s.workspace, Redactor: s.host.Redactor, Log: s.host.Log, Metrics: worker.NewMetrics(s.registry),
		Tracer: s.tracer,
	})
	worker.RegisterOldestRunning(s.registry, pool)
	worker.RegisterUndelivered(s.registry, pool)
	return pool, nil
}

// matcher returns whether one of the patterns fits a name. They were checked
// when the settings were read.
func matcher(patterns []string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			fits, err := path.Match(pattern, name)
			return err == nil && fits
		})
	}
}

// operate opens the HTTP port and starts what stands behind it.
func (s *service) operate(ctx context.Context) (*ops.Server, *sync.WaitGroup, error) {
	probes := ops.NewProbes(s.registry, append(s.adapters.probes(s.host.Config), ops.Probe{Name: "nats", Ask: s.bus.ping})...)
	watch := ops.NewQueueWatch(s.registry, queue.NewReader(s.bus.js, s.topology))
	registerRedactions(s.registry, s.host.Redactor)
	server, err := ops.Listen(ctx, s.host.Config.HTTPAddr, s.registry, probes, watch)
	if err != nil {
		return nil, nil, err
	}
	running := new(sync.WaitGroup)
	running.Go(func() { probes.Run(ctx) })
	running.Go(func() { watch.Run(ctx) })
	return server, running, nil
}

func topologyOf(host Host) queue.Topology {
	cfg := host.Config.NATS
	return queue.Topology{Prefix: cfg.StreamPrefix, Root: cfg.SubjectRoot, Replicas: cfg.StreamReplicas, Pace: host.Pace}
}

func newPublisher(b *bus, host Host, stream string, reg prometheus.Registerer) *events.Publisher {
	return events.NewPublisher(b.nc, b.js, events.Options{
		Subjects: events.NewSubjects(host.Config.NATS.StreamPrefix, host.Config.NATS.SubjectRoot),
		Stream:   stream, Worker: host.Config.Worker.ID, Log: host.Log, Metrics: events.NewMetrics(reg),
	})
}

func newRegistry(v Version) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dispatchd_build_info", Help: "1; the labels name the build.",
		ConstLabels: prometheus.Labels{"version": v.Number, "commit": v.Commit, "go": v.Go},
	})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

func registerRedactions(reg prometheus.Registerer, redactor *redact.Redactor) {
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "dispatchd_redactions_total",
		Help: "Secrets hidden in logs, events and errors.",
	}, func() float64 { return float64(redactor.Hits()) }))
}

// ping asks the server for a round trip through JetStream.
func (b *bus) ping(ctx context.Context) error {
	_, err := b.js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return errors.New("JetStream is not enabled")
	}
	if err != nil {
		return fmt.Errorf("no answer from JetStream: %w", err)
	}
	return nil
}

// onceSettleTimeout is how long after its deadline a single task may try to
// deliver its outcome.
const onceSettleTimeout = 60 * time.Second
