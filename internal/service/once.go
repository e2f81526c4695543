package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/config"
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
	runs, stream, err := records(ctx, host, p.bus)
	if err != nil {
		return nil, err
	}
	publisher := newPublisher(p.bus, host, stream, registry)
	if stream != "" {
		if err := covered(ctx, publisher); err != nil {
			return nil, fmt.Errorf("failed to initialize NATS: %w", err)
		}
	}
	var settled *worker.Settlement
	pool := worker.New(source, runs, publisher, p.adapters.handler(host.Config), worker.Options{
		TaskTimeout: host.Config.Worker.TaskTimeout, SettleTimeout: onceSettleTimeout, StopCause: tasks.ErrInterrupted,
		OnSettled: func(s worker.Settlement) { settled = &s },
		Workspace: p.workspace, Redactor: host.Redactor, Log: host.Log, Metrics: worker.NewMetrics(registry), Tracer: tracer,
	})
	pool.Run(ctx)
	if settled == nil {
		return nil, ErrUndelivered
	}
	return settled, nil
}

// records are the run records and the stream of terminal records. Where our
// rights end at the legacy subjects, as an old runner's do, there are none, and
// Nats-Msg-Id alone keeps events single.
func records(ctx context.Context, host Host, b *bus) (worker.Runs, string, error) {
	topology := topologyOf(host.Config)
	err := b.orDenied(ctx, func(ctx context.Context) error { return queue.EnsureRecords(ctx, b.js, topology) })
	if err == nil {
		runs, bindErr := queue.NewRuns(ctx, b.js, topology, host.Config.Worker.ID)
		return runs, topology.Events(), bindErr
	}
	if errors.Is(err, errDenied) {
		host.Log.Warn("these NATS credentials may only publish events: the task runs without a run record and a terminal record, and is deduplicated by Nats-Msg-Id alone", zap.Error(err))
		return queue.NewUnrecorded(host.Config.Worker.ID), "", nil
	}
	return nil, "", fmt.Errorf("failed to initialize NATS: %w", err)
}

// settledError is the failure of a settlement, as an error.
func settledError(s *worker.Settlement) error {
	if s.Succeeded() {
		return nil
	}
	return tasks.Fail(s.Reason, s.Message, nil)
}
