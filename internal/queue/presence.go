package queue

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// WorkerInfo is what a worker says about itself. The key ends by itself when
// the worker does.
type WorkerInfo struct {
	ID      string    `json:"id"`
	Version string    `json:"version"`
	Host    string    `json:"host,omitempty"`
	Started time.Time `json:"started"`
	Slots   int       `json:"slots"`
	Busy    int       `json:"busy"`
	// Draining is true once the worker takes no more tasks.
	Draining bool `json:"draining,omitempty"`
	// Once is true for a run-once, Task is the id of its task.
	Once bool   `json:"once,omitempty"`
	Task string `json:"task_id,omitempty"`
}

// workerKey is where a worker's sign of life stands.
func workerKey(id string) string { return "worker." + tasks.TargetToken(id) }

// onceKey is where the sign of life of a run-once stands for its task: a restarted
// one has another name, and the same task.
func onceKey(task string) string { return "once." + tasks.TargetToken(task) }

// Presence says that this worker lives, for as long as Run runs.
type Presence struct {
	leases *Leases
	// info is asked before each sign of life.
	info func() WorkerInfo
	log  *zap.Logger
}

// NewPresence returns a presence. Nothing is said before Run.
func NewPresence(leases *Leases, info func() WorkerInfo, log *zap.Logger) *Presence {
	return &Presence{leases: leases, info: info, log: log}
}

// Run says so until ctx ends, and then takes it back.
func (p *Presence) Run(ctx context.Context) {
	ticker := time.NewTicker(p.leases.topology.Pace.Beat())
	defer ticker.Stop()
	signs := bundle{{leases: p.leases, key: workerKey(p.leases.worker)}}
	if task := p.info().Task; task != "" {
		signs = append(signs, &lease{leases: p.leases, key: onceKey(task)})
	}
	for {
		if err := signs.each(func(sign *lease) error { return p.say(ctx, sign) }); err != nil && ctx.Err() == nil {
			p.log.Debug("say that this worker lives", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			_ = signs.Release(context.WithoutCancel(ctx))
			return
		case <-ticker.C:
		}
	}
}

// say writes the sign whatever stood before: the name is ours alone.
func (p *Presence) say(ctx context.Context, sign *lease) error {
	body, err := json.Marshal(p.info())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ack, err := p.leases.js.Publish(ctx, p.leases.subject(sign.key), body)
	if err != nil {
		return err
	}
	sign.sequence = ack.Sequence
	return nil
}
