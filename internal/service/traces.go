package service

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/traces"
)

// traceFlush is how long the last spans may take: a collector that is away
// must not use up what a supervisor gives to a drain.
const traceFlush = 2 * time.Second

// newTracer starts the tracer; nil where the settings name no collector.
func newTracer(ctx context.Context, host Host, reg prometheus.Registerer) (*traces.Tracer, error) {
	return traces.New(ctx, traces.Options{
		Settings: host.Config.Traces.Settings(), Version: host.Version.Number, Instance: host.Config.Worker.ID,
		Log: host.Log, Metrics: traces.NewMetrics(reg),
	})
}

// closeTracer sends what is queued, also after ctx has ended.
func closeTracer(ctx context.Context, tracer *traces.Tracer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceFlush)
	defer cancel()
	tracer.Close(ctx)
}
