package worker

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/traces"
)

// DefaultStopGrace is what settling gets once the pool must stop: a worker that
// drains ends so long after its drain timeout at the latest.
const DefaultStopGrace = 4 * time.Second

// Options are the pool's settings. Zero values take the defaults named here.
type Options struct {
	// Slots is how many tasks run at once; 1.
	Slots int
	// TaskTimeout is the limit of a task, from its first claim on; 15 minutes.
	TaskTimeout time.Duration
	// Heartbeat is the time between two signs of life, of the delivery and of the
	// lease; 8 s, a third of what the lease lasts.
	Heartbeat time.Duration
	// DrainTimeout is how long running tasks go on after the intake has stopped;
	// then their context ends with StopCause.
	DrainTimeout time.Duration
	// StopCause is tasks.ErrShutdown (hand the task back) where nil.
	StopCause error
	// SettleTimeout bounds settling a task, counted from the task's deadline
	// where that is later; 0 means as long as it takes.
	SettleTimeout time.Duration
	// StopGrace is what settling gets once the pool must stop; DefaultStopGrace.
	StopGrace time.Duration
	// MaxAttempts is how many attempts a task has; 3.
	MaxAttempts int
	// Supersede reports whether the deployments of a job that wait collapse into
	// the newest; nil for no job.
	Supersede func(job string) bool
	// Reconnected returns when the connection was last lost and came back, zero
	// where it never was. For the grace after it other workers' runs are left
	// alone: they may be on their way back, too. Nil is never.
	Reconnected func() time.Time
	// ReconnectGrace is the queue's ack wait; 30 s.
	ReconnectGrace time.Duration
	// OnSettled is told each settlement that this pool completed; may be nil.
	OnSettled func(Settlement)

	Workspace *Workspace
	Redactor  *redact.Redactor
	Log       *zap.Logger
	Metrics   *Metrics
	// Tracer makes spans of attempts and stages; nil makes none.
	Tracer *traces.Tracer
}

// Pool runs the tasks of one queue in a fixed number of slots.
type Pool struct {
	queue     Queue
	runs      Runs
	publisher Publisher
	handler   Handler
	options   Options
	inflight  inflight
	// undelivered are outcomes that are not told yet.
	undelivered undelivered
}

// New returns a pool. Nothing happens before Run.
func New(queue Queue, runs Runs, publisher Publisher, handler Handler, options Options) *Pool {
	return &Pool{
		queue: queue, runs: runs, publisher: publisher, handler: handler,
		options:     options.withDefaults(),
		inflight:    inflight{running: map[string]running{}},
		undelivered: undelivered{since: map[string]time.Time{}},
	}
}

func (o Options) withDefaults() Options {
	o.Slots = max(o.Slots, 1)
	o.MaxAttempts = orDefault(o.MaxAttempts, 3)
	o.TaskTimeout = orDefault(o.TaskTimeout, 15*time.Minute)
	o.Heartbeat = orDefault(o.Heartbeat, 8*time.Second)
	o.StopGrace = orDefault(o.StopGrace, DefaultStopGrace)
	o.ReconnectGrace = orDefault(o.ReconnectGrace, 30*time.Second)
	if o.StopCause == nil {
		o.StopCause = tasks.ErrShutdown
	}
	if o.Supersede == nil {
		o.Supersede = func(string) bool { return false }
	}
	if o.Reconnected == nil {
		o.Reconnected = func() time.Time { return time.Time{} }
	}
	return o
}

func orDefault[T int | time.Duration](value, fallback T) T {
	if value <= 0 {
		return fallback
	}
	return value
}

// Run works until the queue is exhausted or ctx ends. When ctx ends no slot
// fetches any more at once; running tasks go on for the drain timeout and are
// then stopped. Run returns when every slot is free.
func (p *Pool) Run(ctx context.Context) {
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	drained := make(chan struct{})
	var drain sync.WaitGroup
	drain.Go(func() { p.drain(ctx, drained, stop) })

	p.options.Metrics.slots(p.options.Slots)
	var slots sync.WaitGroup
	for range p.options.Slots {
		slots.Go(func() { p.slot(ctx, work) })
	}
	slots.Wait()
	close(drained)
	drain.Wait()
}

// drain waits for the intake to end and then gives the running tasks their time.
func (p *Pool) drain(intake context.Context, drained <-chan struct{}, stop context.CancelCauseFunc) {
	select {
	case <-drained:
		return
	case <-intake.Done():
	}
	p.options.Metrics.draining()
	p.options.Log.Info("draining", zap.Int("running", p.inflight.count()), zap.Duration("limit", p.options.DrainTimeout))
	timer := time.NewTimer(p.options.DrainTimeout)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		stop(p.options.StopCause)
	}
}

// slot works off one delivery after the other.
func (p *Pool) slot(intake, work context.Context) {
	wait := backoff{first: 200 * time.Millisecond, most: 5 * time.Second}
	for {
		delivery, err := p.queue.Fetch(intake)
		switch {
		case err == nil:
			wait.reset()
			p.guard(p.options.Log, func() { p.work(work, delivery) })
		case errors.Is(err, io.EOF):
			return
		case intake.Err() != nil:
			return
		default:
			p.options.Log.Warn("fetch a task", zap.Error(err))
			wait.pause(intake)
		}
	}
}

// guard keeps a slot alive through a panic in our own code; the message is
// redelivered when its ack wait ends.
func (p *Pool) guard(log errorLog, do func()) {
	defer func() {
		if r := recover(); r != nil {
			p.options.Metrics.panicked()
			log.Error("panic in a slot", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	do()
}

// errorLog is the pool's log, or that of one task.
type errorLog interface {
	Error(text string, fields ...zap.Field)
}

// OldestRunning returns for how long the longest running task has run; 0 where
// none runs.
func (p *Pool) OldestRunning() time.Duration { return p.inflight.oldest() }

// Running returns how many tasks are in slots.
func (p *Pool) Running() int { return p.inflight.count() }

// Cancel ends a task that runs in this process; false where it does not.
func (p *Pool) Cancel(id string) bool { return p.inflight.cancel(id, tasks.ErrCancelled) }

// LookForCancels ends the tasks that run here and whose end was asked for while
// nobody could hear it. It asks until it has the answers: who has just come back
// may find servers without a leader.
func (p *Pool) LookForCancels(ctx context.Context) {
	wait, news := backoff{first: 100 * time.Millisecond, most: 5 * time.Second}, logging.News{}
	for _, id := range p.inflight.ids() {
		for err := p.lookForCancelOf(ctx, id); err != nil && p.inflight.has(id); err = p.lookForCancelOf(ctx, id) {
			if news.Is(err) {
				p.options.Log.Warn("look for cancels", zap.String("task_id", id), zap.Error(err))
			}
			if !wait.pause(ctx) {
				return
			}
		}
	}
}

func (p *Pool) lookForCancelOf(ctx context.Context, id string) error {
	cancelled, err := p.publisher.Cancelled(ctx, id)
	if cancelled {
		p.Cancel(id)
	}
	return err
}

// respect reports whether other workers' runs are left alone now.
func (o Options) respect() bool {
	back := o.Reconnected()
	return !back.IsZero() && time.Since(back) < o.ReconnectGrace
}

// inflight knows the tasks in this process's slots, so that a redelivery of
// one of them is not taken for an orphan, and so that they can be cancelled.
type inflight struct {
	mu      sync.Mutex
	running map[string]running
}

type running struct {
	since time.Time
	stop  context.CancelCauseFunc
}

func (f *inflight) begin(id string, stop context.CancelCauseFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.running[id]; known {
		return false
	}
	f.running[id] = running{since: time.Now(), stop: stop}
	return true
}

func (f *inflight) end(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, id)
}

func (f *inflight) cancel(id string, cause error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	task, known := f.running[id]
	if known {
		task.stop(cause)
	}
	return known
}

func (f *inflight) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.running[id]
	return known
}

func (f *inflight) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.running))
}

func (f *inflight) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.running)
}

func (f *inflight) oldest() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest time.Duration
	for _, task := range f.running {
		oldest = max(oldest, time.Since(task.since))
	}
	return oldest
}

// backoff is a wait that doubles, with jitter in its upper half.
type backoff struct {
	first, most, next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// pause waits for the next step of the backoff; false where ctx ended first.
func (b *backoff) pause(ctx context.Context) bool {
	b.next = min(max(b.next*2, b.first), b.most)
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
