package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// records are the runs and leases of a worker.
type records struct {
	runs   *queue.Runs
	leases *queue.Leases
}

// openRecords binds to buckets that are there.
func openRecords(ctx context.Context, host Host, b *bus, topology queue.Topology) (*records, error) {
	runs, err := queue.NewRuns(ctx, b.js, topology, host.Config.Worker.ID)
	if err != nil {
		return nil, err
	}
	leases, err := queue.NewLeases(ctx, b.js, topology, host.Config.Worker.ID)
	if err != nil {
		return nil, err
	}
	return &records{runs: runs, leases: leases}, nil
}

// onceRecords makes and binds the records of a single task. Where our rights
// end at the legacy subjects, as an old runner's do, there are none, and
// Nats-Msg-Id alone keeps events single.
func onceRecords(ctx context.Context, host Host, b *bus) (*records, error) {
	topology := topologyOf(host)
	err := b.orDenied(ctx, func(ctx context.Context) error { return queue.EnsureRecords(ctx, b.js, topology) })
	if err == nil {
		return openRecords(ctx, host, b, topology)
	}
	if errors.Is(err, errDenied) {
		host.Log.Warn("these NATS credentials may only publish events: the task runs without a run record and a terminal record, and is deduplicated by Nats-Msg-Id alone", zap.Error(err))
		return nil, nil
	}
	return nil, fmt.Errorf("failed to initialize NATS: %w", err)
}

// runsOr returns the records' runs, or such as are in memory alone.
func (r *records) runsOr(workerID string) worker.Runs {
	if r == nil {
		return queue.NewUnrecorded(workerID)
	}
	return r.runs
}

// presence is what this worker says about itself.
func (s *service) presence(intake context.Context, pool *worker.Pool) func() queue.WorkerInfo {
	host, _ := os.Hostname()
	started := time.Now().UTC()
	return func() queue.WorkerInfo {
		return queue.WorkerInfo{
			ID: s.host.Config.Worker.ID, Version: s.host.Version.Number, Host: host, Started: started,
			Slots: s.host.Config.Worker.Slots, Busy: pool.Running(), Draining: intake.Err() != nil,
		}
	}
}

// oncePresence is what the run-once of a task says about itself.
func oncePresence(host Host, pool *worker.Pool, task string) func() queue.WorkerInfo {
	started := time.Now().UTC()
	return func() queue.WorkerInfo {
		return queue.WorkerInfo{
			ID: host.Config.Worker.ID, Version: host.Version.Number, Started: started,
			Slots: 1, Busy: pool.Running(), Once: true, Task: task,
		}
	}
}
