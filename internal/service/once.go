package service

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// ErrUndelivered says that a single task has ended and nobody could be told.
var ErrUndelivered = errors.New("the outcome could not be delivered to NATS")

// RunOnce carries out the one task of the environment through the same worker
// and the same settle as the service. It returns nil where the task succeeded
// or had succeeded before, and else why not, in the words that callers of
// run-once have always looked for.
func RunOnce(ctx context.Context, host Host) error {
	task, invalid := decodeMeta(host.Config.RunOnce)
	if invalid != nil && !task.Identified() {
		return invalid
	}
	open, err := openParts(ctx, host)
	if err != nil {
		return errors.Join(invalid, err)
	}
	defer open.close()
	source := queue.NewOnce(task, invalid, host.Config.RunOnce.Traceparent)
	source.Limit = host.Config.Worker.TaskTimeout + onceSettleTimeout
	settled, err := open.runOnce(ctx, host, source)
	if err != nil {
		return errors.Join(invalid, err)
	}
	return settledError(settled)
}

// decodeMeta reads the task; its id is the dispatch's, so that a restarted
// allocation is the same request.
func decodeMeta(env config.RunOnce) (tasks.Task, error) {
	id, ok := tasks.IDFromNomadJob(env.NomadJobID)
	if !ok {
		id = tasks.NewID()
	}
	return tasks.DecodeMeta(env.MetaTask, env.MetaParams.Reveal(), id)
}

func (p *parts) runOnce(ctx context.Context, host Host, source *queue.Once) (*worker.Settlement, error) {
	registry := prometheus.NewRegistry()
	tracer, err := newTracer(ctx, host, registry)
	if err != nil {
		return nil, err
	}
	defer closeTracer(ctx, tracer)
	kept, err := onceRecords(ctx, host, p.bus)
	if err != nil {
		return nil, err
	}
	publisher, err := oncePublisher(ctx, host, p.bus, kept, registry)
	if err != nil {
		return nil, err
	}
	var settled *worker.Settlement
	pool := worker.New(source, kept.runsOr(host.Config.Worker.ID), publisher, p.adapters.handlerOf(host), worker.Options{
		TaskTimeout: host.Config.Worker.TaskTimeout, Heartbeat: host.Pace.Beat(), SettleTimeout: onceSettleTimeout, StopCause: tasks.ErrInterrupted,
		Reconnected: p.bus.reconnected, ReconnectGrace: host.Pace.AckWait,
		OnSettled: func(s worker.Settlement) { settled = &s },
		Workspace: p.workspace, Redactor: host.Redactor, Log: host.Log, Metrics: worker.NewMetrics(registry), Tracer: tracer,
	})
	if kept != nil {
		source.Leases = kept.leases
		background, stop := context.WithCancel(context.WithoutCancel(ctx))
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		beside := beside{bus: p.bus, records: kept, publisher: publisher, pool: pool, host: host, info: oncePresence(host, pool, source.TaskID())}
		unheard, err := beside.start(background, &running)
		if err != nil {
			return nil, err
		}
		defer unheard()
	}
	pool.Run(ctx)
	if settled == nil {
		return nil, ErrUndelivered
	}
	return settled, nil
}

// oncePublisher refuses to start where an event would have no stream, if we may
// ask that.
func oncePublisher(ctx context.Context, host Host, b *bus, kept *records, reg prometheus.Registerer) (*events.Publisher, error) {
	if kept == nil {
		return newPublisher(b, host, "", reg), nil
	}
	publisher := newPublisher(b, host, topologyOf(host).Events(), reg)
	if err := covered(ctx, publisher); err != nil {
		return nil, fmt.Errorf("failed to initialize NATS: %w", err)
	}
	return publisher, nil
}

// settledError is the failure of a settlement, as an error.
func settledError(s *worker.Settlement) error {
	if s.Succeeded() {
		return nil
	}
	return tasks.Fail(s.Reason, s.Message, nil)
}
