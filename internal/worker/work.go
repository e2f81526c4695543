package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/traces"
)

// maxLost is how many workers may die of a task: the next one ends it.
const maxLost = 2

// attempt is one delivery on its way through a slot.
type attempt struct {
	delivery Delivery
	task     tasks.Task
	// invalid is set where the task could not be decoded.
	invalid *tasks.Failure
	// refused is set where the task must end without being carried out.
	refused *tasks.Failure
	// announced is true once this attempt has said IN_PROGRESS.
	announced bool

	lease    Lease
	claim    Claim
	hold     *hold
	stream   Stream
	progress *progress
	dir      string
	started  time.Time
	deadline time.Time
	redactor *redact.Redactor
	log      *taskLog
	trace    trace
}

// work takes one delivery to its end. It never panics and returns when nothing
// of the delivery runs any more.
func (p *Pool) work(work context.Context, delivery Delivery) {
	p.options.Metrics.fetched(delivery.Message())
	p.options.Metrics.busy(1)
	defer p.options.Metrics.busy(-1)

	if blocked := delivery.Crowd(); blocked != nil {
		p.passOn(work, delivery, blocked)
		return
	}
	a := p.read(delivery)
	defer a.trace.span.End()
	beat := p.startHeartbeat(work, a)
	defer beat.stop()
	p.guard(a.log, func() { p.take(work, a, beat) })
}

// take finds out whose delivery it is and carries it to its end.
func (p *Pool) take(work context.Context, a *attempt, beat *heartbeat) {
	if a.task.ID == "" || (a.invalid != nil && !a.task.Identified()) {
		p.discard(work, a)
		return
	}
	steps, stop := context.WithCancelCause(work)
	defer stop(nil)
	if !p.inflight.begin(a.task.ID, stop) {
		p.handBack(work, a, p.options.Heartbeat)
		return
	}
	defer p.inflight.end(a.task.ID)
	if ended, ours := p.acquire(work, a); ours {
		a.hold = newHold(a.lease, a.claim, stop)
		beat.keep(a.hold)
		p.own(work, steps, a, ended)
	}
}

// read decodes the delivery and prepares what logs and events need to know.
func (p *Pool) read(delivery Delivery) *attempt {
	task, err := delivery.Decode()
	a := &attempt{delivery: delivery, task: task, started: time.Now(), lease: free{}}
	if err != nil {
		a.invalid = tasks.AsFailure(err)
	}
	a.redactor = p.options.Redactor.With(task.Secrets()...)
	a.trace = p.trace(a)
	a.log = newTaskLog(logging.WithRedactor(p.options.Log, a.redactor).With(
		zap.String("task_id", task.ID), zap.String("task", string(task.Kind)),
		zap.String("trace_id", a.trace.id.String())))
	return a
}

// own carries a task whose run is ours to its settlement.
func (p *Pool) own(work, steps context.Context, a *attempt, ended *Settlement) {
	ctx, cancel := p.settleContext(work, a)
	defer cancel()
	defer p.releaseLease(ctx, a)
	run := a.claim.Run()
	a.log.claimed(run.Attempts)
	a.trace.span.Set(traces.Int("dispatchd.attempt", run.Attempts))
	a.deadline = time.Now().Add(p.options.TaskTimeout - a.claim.Age())
	about := p.subject(a, run)
	about.Valid = a.hold.valid
	stream, err := p.publisher.Open(ctx, about)
	if err != nil {
		p.yield(ctx, a, "open the task's stream", err)
		return
	}
	a.stream = stream
	defer a.stream.Close()
	a.progress = newProgress(a.stream, p.options.Metrics, a)
	defer a.progress.close()

	switch {
	case run.Outcome != nil:
		p.resume(work, a, *run.Outcome)
	case ended != nil:
		p.resume(work, a, *ended)
	default:
		result, err := p.execute(steps, a)
		p.settle(work, a, result, err)
	}
}

func (p *Pool) subject(a *attempt, run Run) Subject {
	return Subject{Task: a.task, Run: run, Message: a.delivery.Message(), Traceparent: a.trace.header(), Redactor: a.redactor}
}

// resume completes an outcome that an earlier owner has recorded.
func (p *Pool) resume(work context.Context, a *attempt, s Settlement) {
	ctx, cancel := p.settleContext(work, a)
	defer cancel()
	defer p.undelivered.begin(a.task.ID)()
	p.complete(ctx, a, s)
}

// execute runs the task under its deadline, behind the panic barrier.
func (p *Pool) execute(ctx context.Context, a *attempt) (result tasks.Result, err error) {
	if a.invalid != nil {
		return result, a.invalid
	}
	run := a.claim.Run()
	if run.Lost() >= maxLost {
		a.refused = tasks.Fail(tasks.ReasonWorkerLost, fmt.Sprintf("%d workers that ran the task died", run.Lost()), nil)
	}
	if a.refused != nil {
		return result, p.refuse(ctx, a)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, a.deadline, tasks.ErrTimeout)
	defer cancel()
	if a.dir, err = p.options.Workspace.Create(a.task.ID); err != nil {
		return result, err
	}
	if err := p.start(ctx, a); err != nil {
		return result, err
	}
	a.log.Info("task started", zap.Duration("remaining", time.Until(a.deadline).Round(time.Millisecond)))
	return p.handle(ctx, a, p.attempt(a))
}

// attempt is what the steps get.
func (p *Pool) attempt(a *attempt) tasks.Attempt {
	return tasks.Attempt{
		Dir: a.dir, Last: p.last(a), Guard: a.hold.guard, From: a.claim.Run().Reached, Redactor: a.redactor,
		Keep: func(ctx context.Context, reached tasks.Checkpoint) error {
			return p.persist(ctx, a, "record what is reached", func(ctx context.Context) error {
				return a.save(ctx, func(r *Run) { r.Reached = reached })
			})
		},
	}
}

// refuse ends a task that is not carried out. Where somebody has claimed it
// before, a worker that has stalled may be about to say IN_PROGRESS: it is said
// first, so that it can never follow the end.
func (p *Pool) refuse(ctx context.Context, a *attempt) error {
	if a.claim.Run().Claims > 1 {
		if err := p.start(ctx, a); err != nil {
			return err
		}
	}
	return a.refused
}

// last reports whether a transient failure of this attempt ends the task.
func (p *Pool) last(a *attempt) bool {
	return a.claim.Run().Attempts >= p.options.MaxAttempts || a.delivery.Message().Last
}

// start publishes IN_PROGRESS, once for each task id, before any work. The run
// record hears of it with what it is told next, unless a successor that says it
// again might be heard.
func (p *Pool) start(ctx context.Context, a *attempt) error {
	if !a.task.Kind.IsDeploy() || a.claim.Run().Announced {
		return nil
	}
	repeatable := false
	err := p.persist(ctx, a, "publish IN_PROGRESS", func(ctx context.Context) (err error) {
		repeatable, err = a.stream.Started(ctx)
		return err
	})
	if err != nil {
		return err
	}
	a.announced = true
	if repeatable {
		return nil
	}
	return p.persist(ctx, a, "note IN_PROGRESS", func(ctx context.Context) error { return a.save(ctx, func(*Run) {}) })
}

// save changes the run record, and notes there what is out.
func (a *attempt) save(ctx context.Context, change func(*Run)) error {
	return a.claim.Save(ctx, func(r *Run) {
		r.Announced = r.Announced || a.announced
		change(r)
	})
}

// handle calls the handler; a panic is an internal error with its stack in the log.
func (p *Pool) handle(ctx context.Context, a *attempt, at tasks.Attempt) (result tasks.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.options.Metrics.panicked()
			a.log.Error("panic in a step", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
			err = tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("panic: %v", r))
		}
	}()
	defer func() { a.progress.finish(err) }()
	result, err = p.handler.Handle(logging.Into(ctx, a.log.Warn), a.task, at, a.progress)
	if err != nil && ctx.Err() != nil {
		// The cause beats the error that the interrupted step returned.
		err = context.Cause(ctx)
	}
	return result, err
}

// discard puts away a message that names no task.
func (p *Pool) discard(ctx context.Context, a *attempt) {
	failure := a.invalid
	if failure == nil {
		failure = tasks.Fail(tasks.ReasonInvalidTask, "the task has no id", nil)
	}
	failSpan(a.trace.span, failure)
	message := a.redactor.String(failure.Message)
	a.log.Warn("task refused", zap.String("reason", string(failure.Reason)), zap.String("error", message))
	letter := DeadLetter{ID: a.task.ID, Reason: failure.Reason, Message: message, Attempt: a.delivery.Message().Deliveries}
	err := p.persist(ctx, a, "write the dead letter", func(ctx context.Context) error {
		return a.delivery.Discard(ctx, letter)
	})
	if err == nil {
		p.count(a, "discard")
		p.options.Metrics.refused(failure.Reason)
	}
	if p.options.OnSettled != nil {
		p.options.OnSettled(Settlement{Status: StatusFailed, Reason: failure.Reason, Message: message, DeadLetter: true})
	}
}
