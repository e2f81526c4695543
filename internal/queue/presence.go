package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
	// warned is true once somebody else was seen under our name.
	warned bool
}

// NewPresence returns a presence. Nothing is said before Run.
func NewPresence(leases *Leases, info func() WorkerInfo, log *zap.Logger) *Presence {
	return &Presence{leases: leases, info: info, log: log}
}

// Run says so until ctx ends, and then takes it back. A sign that could not be
// given is given soon.
func (p *Presence) Run(ctx context.Context) {
	beat := p.leases.Beat()
	timer := time.NewTimer(0)
	defer timer.Stop()
	signs := bundle{{leases: p.leases, key: workerKey(p.leases.worker)}}
	if task := p.info().Task; task != "" {
		signs = append(signs, &lease{leases: p.leases, key: onceKey(task)})
	}
	for {
		select {
		case <-ctx.Done():
			_ = signs.Release(context.WithoutCancel(ctx))
			return
		case <-timer.C:
		}
		began, next := time.Now(), beat
		if err := signs.each(func(sign *lease) error { return p.say(ctx, sign) }); err != nil && ctx.Err() == nil {
			p.log.Debug("say that this worker lives", zap.Error(err))
			next = beat / 8
		}
		timer.Reset(next - time.Since(began))
	}
}

// say writes the sign whatever stood before: the name should be ours alone. What
// stands where we have written nothing is looked at.
func (p *Presence) say(ctx context.Context, sign *lease) error {
	var conditions []jetstream.PublishOpt
	if sign.sequence > 0 {
		conditions = append(conditions, jetstream.WithExpectLastSequencePerSubject(sign.sequence))
	}
	err := p.write(ctx, sign, conditions...)
	if isConflict(err) {
		p.suspect(ctx, sign)
		err = p.write(ctx, sign)
	}
	return err
}

func (p *Presence) write(ctx context.Context, sign *lease, conditions ...jetstream.PublishOpt) error {
	body, err := json.Marshal(p.info())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ack, err := p.leases.js.Publish(ctx, p.leases.subject(sign.key), body, conditions...)
	if err != nil {
		return err
	}
	sign.sequence = ack.Sequence
	return nil
}

// suspectTimeout is short: our own sign waits meanwhile.
const suspectTimeout = time.Second

// suspect looks whether somebody else gives signs of life under our name, and says
// so once. A sign of ours that was dropped, or whose answer was lost, is none.
func (p *Presence) suspect(ctx context.Context, sign *lease) {
	if p.warned {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, suspectTimeout)
	defer cancel()
	msg, err := p.leases.stream.GetLastMsgForSubject(ctx, p.leases.subject(sign.key))
	if err != nil {
		return
	}
	var other WorkerInfo
	own := p.info()
	if json.Unmarshal(msg.Data, &other) != nil || other.ID != own.ID || other.Started.Equal(own.Started) {
		return
	}
	p.warned = true
	p.log.Warn("another process works under the name of this worker: give each its own DISPATCHD_WORKER_ID",
		zap.String("worker", own.ID), zap.String("other_host", other.Host), zap.Time("other_started", other.Started))
}
