package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	source := queue.NewOnce(task, invalid, "")
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
	kept, err := onceRecords(ctx, host, p.bus)
	if err != nil {
		return nil, err
	}
	publisher, err := oncePublisher(ctx, host, p.bus, kept, registry)
	if err != nil {
		return nil, err
	}
	var settled *worker.Settlement
	pool := worker.New(source, kept.runsOr(host.Config.Worker.ID), publisher, p.adapters.handler(host.Config), worker.Options{
		TaskTimeout: host.Config.Worker.TaskTimeout, SettleTimeout: onceSettleTimeout, StopCause: tasks.ErrInterrupted,
		OnSettled: func(s worker.Settlement) { settled = &s },
		Workspace: p.workspace, Redactor: host.Redactor, Log: host.Log, Metrics: worker.NewMetrics(registry),
	})
	if kept != nil {
		source.Leases = kept.leases
		stop, err := p.attend(ctx, host, kept, publisher, pool)
		if err != nil {
			return nil, err
		}
		defer stop()
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
	publisher := newPublisher(b, host, topologyOf(host.Config).Events(), reg)
	if err := covered(ctx, publisher); err != nil {
		return nil, fmt.Errorf("failed to initialize NATS: %w", err)
	}
	return publisher, nil
}

// attend does beside a single task what the service does beside its tasks: it
// hears of a cancel, says that this worker lives, and ends what others have left.
func (p *parts) attend(ctx context.Context, host Host, kept *records, publisher *events.Publisher, pool *worker.Pool) (stop func(), err error) {
	cancels, err := queue.SubscribeCancels(p.bus.nc, topologyOf(host.Config), func(id string) { pool.Cancel(id) })
	if err != nil {
		return nil, err
	}
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	sweeper := worker.NewSweeper(queue.NewOrphanage(kept.leases, kept.runs), kept.runs, publisher, host.Log)
	running.Go(func() { sweeper.Run(background) })
	started := time.Now().UTC()
	presence := queue.NewPresence(kept.leases, func() queue.WorkerInfo {
		return queue.WorkerInfo{ID: host.Config.Worker.ID, Version: host.Version.Number, Started: started, Slots: 1, Busy: pool.Running(), Once: true}
	}, host.Log)
	running.Go(func() { presence.Run(background) })
	return func() {
		end()
		running.Wait()
		cancels.Close()
	}, nil
}

// settledError is the failure of a settlement, as an error.
func settledError(s *worker.Settlement) error {
	if s.Succeeded() {
		return nil
	}
	return tasks.Fail(s.Reason, s.Message, nil)
}
