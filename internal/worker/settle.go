package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// settle is the only exit of a task that was executed: it classifies, and then
// says nothing, hands the task back or ends it.
func (p *Pool) settle(work context.Context, a *attempt, result tasks.Result, err error) {
	ctx, cancel := p.settleContext(work, a)
	defer cancel()
	defer p.removeDir(a)
	failure := p.describe(work, a, p.orphaned(ctx, a, err))
	verdict := p.classify(a, failure)
	if verdict == sayNothing {
		p.unfinished(a, ErrClaimLost)
		return
	}
	a.report(result, failure, verdict)
	if failure != nil {
		failSpan(a.trace.span, failure)
		a.progress.fail(failure)
	}
	last := p.flush(ctx, work, a)
	switch verdict {
	case giveBack, tryAgain:
		p.release(ctx, a, handBack{failure: failure, verdict: verdict, lastLine: last})
	default:
		p.finish(ctx, a, tasks.Outcome{Failure: failure, Result: result}, last)
	}
}

// handBack is why a task goes back to the queue, and how far its log has come.
type handBack struct {
	failure  *tasks.Failure
	verdict  verdict
	lastLine uint64
}

// verdict is what classify decides.
type verdict int

const (
	// end: the outcome is final.
	end verdict = iota
	// tryAgain: hand the task back with a delay.
	tryAgain
	// giveBack: hand the task back at once, and the attempt with it.
	giveBack
	// sayNothing: the task is somebody else's.
	sayNothing
)

// classify reads the one column of the failure table that decides.
func (p *Pool) classify(a *attempt, failure *tasks.Failure) verdict {
	if failure == nil {
		return end
	}
	switch row := failure.Row(); {
	case row.Class == tasks.ClassLeaseLost:
		return sayNothing
	case row.Class == tasks.ClassShutdown:
		return giveBack
	case row.Retryable() && !p.last(a) && timeForAnother(a):
		return tryAgain
	default:
		return end
	}
}

// timeForAnother reports whether another attempt can begin before the deadline:
// a task that would come back after it could only say "timeout", and no more why.
func timeForAnother(a *attempt) bool {
	return time.Until(a.deadline) > leastHandBack(a.claim.Run().Attempts)
}

// orphaned gives a task an end that has lost its lease to another task and that
// no queue will ever hand to anybody else: it must say itself that it failed.
func (p *Pool) orphaned(ctx context.Context, a *attempt, err error) error {
	if !errors.Is(err, tasks.ErrLeaseLost) || a.delivery.Message().Subject != "" || a.claim.Holds(ctx) != nil {
		return err
	}
	return tasks.Fail(tasks.ReasonWorkerLost, "NATS was away for so long that another task of the same job began", err)
}

// describe turns an error into a failure of our own, with its stage. The cause
// of an ended context beats the error that the interrupted step returned.
func (p *Pool) describe(work context.Context, a *attempt, err error) *tasks.Failure {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrClaimLost) || errors.Is(err, ErrLeaseLost) {
		err = tasks.ErrLeaseLost
	}
	if work.Err() != nil && !errors.Is(err, tasks.ErrTimeout) {
		err = context.Cause(work)
	}
	failure := *tasks.AsFailure(err)
	if failure.Stage == "" {
		failure.Stage = a.progress.current()
	}
	if failure.Reason == tasks.ReasonTimeout {
		failure.Message = timeoutMessage(p.options.TaskTimeout, failure.Stage)
	}
	failure.Message = a.redactor.String(failure.Message)
	return &failure
}

func timeoutMessage(limit time.Duration, stage tasks.Stage) string {
	return "the task reached its limit of " + limit.String() + " in the stage " + string(stage)
}

// report writes how the attempt ended into the task's log, before that is
// flushed, and what only the operator may see into ours.
func (a *attempt) report(result tasks.Result, failure *tasks.Failure, v verdict) {
	if failure != nil {
		text := "failed"
		if v != end {
			text = "stopped, and handed back to the queue"
		}
		_, _ = fmt.Fprintf(a.stream.Stderr(), "%s (%s): %s\n", text, failure.Reason, failure.Message)
		a.log.at(failure.Stage).Warn("attempt failed", zap.String("reason", string(failure.Reason)), zap.Error(failure))
	}
	for _, u := range result.Undestroyed {
		a.log.Error("job not destroyed", zap.String("job", u.Job.JobID),
			zap.String("reason", string(u.Failure.Reason)), zap.Error(u.Failure))
	}
}

// settleContext outlives the task: it ends a grace after the pool must stop,
// and with the settle timeout where there is one.
func (p *Pool) settleContext(work context.Context, a *attempt) (context.Context, context.CancelFunc) {
	ctx, release := outlive(context.WithoutCancel(work), work, p.options.StopGrace)
	if p.options.SettleTimeout <= 0 {
		return ctx, release
	}
	latest := a.deadline
	if now := time.Now(); latest.Before(now) {
		latest = now
	}
	bounded, cancelBounded := context.WithDeadline(ctx, latest.Add(p.options.SettleTimeout))
	return bounded, func() { cancelBounded(); release() }
}

// outlive returns a context of parent that ends a grace after work has ended.
func outlive(parent, work context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	stop := context.AfterFunc(work, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// release hands the task back: no outcome, no event of it.
func (p *Pool) release(ctx context.Context, a *attempt, back handBack) {
	delay := time.Duration(0)
	before := a.claim.Run()
	count := func(r *Run) { r.Attempts = before.Attempts - 1 }
	if back.verdict == tryAgain {
		delay = handBackDelay(before.Attempts)
		count = func(r *Run) { r.HandedBack = before.HandedBack + 1 }
	}
	err := p.persist(ctx, a, "hand the task back", func(ctx context.Context) error {
		return a.save(ctx, func(r *Run) { count(r); r.LogSequence = back.lastLine })
	})
	if err != nil {
		a.log.Warn("the task could not be handed back; it is redelivered when its ack wait ends", zap.Error(err))
		return
	}
	a.stream.Retried(ctx, back.failure, delay)
	p.releaseLease(ctx, a)
	a.log.at(back.failure.Stage).Info("task handed back", zap.Duration("delay", delay))
	p.handBack(ctx, a, delay)
}

// handBackDelay is the least delay with a quarter of jitter.
func handBackDelay(attempts int) time.Duration {
	least := leastHandBack(attempts)
	return least + rand.N(least/4)
}

// leastHandBack grows with the attempts, so that a platform fault that lasts
// does not use them up in seconds: 15 s, 60 s.
func leastHandBack(attempts int) time.Duration {
	least := 15 * time.Second
	for range attempts - 1 {
		least *= 4
	}
	return least
}

// handBack uses the queue's verb and counts it.
func (p *Pool) handBack(ctx context.Context, a *attempt, delay time.Duration) {
	p.handBackAs(ctx, a, "retry", delay)
}

func (p *Pool) handBackAs(ctx context.Context, a *attempt, verb string, delay time.Duration) {
	p.count(a, verb)
	if err := a.delivery.Retry(ctx, delay); err != nil {
		a.log.Warn("hand the message back; it is redelivered when its ack wait ends", zap.Error(err))
	}
}

// finish makes the outcome the task's: first into the run record, which refuses
// it where somebody else has claimed the task since.
func (p *Pool) finish(ctx context.Context, a *attempt, outcome tasks.Outcome, lastLine uint64) {
	defer p.undelivered.begin(a.task.ID)()
	settlement := a.stream.Compose(outcome)
	settlement.DeadLetter = a.invalid != nil
	err := p.persist(ctx, a, "record the outcome", func(ctx context.Context) error {
		return a.save(ctx, func(r *Run) { r.Outcome, r.LogSequence = &settlement, lastLine })
	})
	if err != nil {
		p.unfinished(a, err)
		return
	}
	p.complete(ctx, a, settlement)
}

// flush waits for the log's lines, while they may go out. Once the pool must stop it gets half of the
// grace at most: the other half is the outcome's.
func (p *Pool) flush(ctx, work context.Context, a *attempt) uint64 {
	ctx, release := outlive(ctx, work, p.options.StopGrace/2)
	defer release()
	defer context.AfterFunc(a.hold.gone, release)() //nolint:contextcheck // it ends ours, and is not called with
	last, err := a.stream.Flush(ctx)
	if err != nil {
		a.log.Warn("log lines were lost", zap.Uint64("last_line", last), zap.Error(err))
	}
	return last
}

// complete says everything that a recorded outcome calls for. Each step may be
// repeated; a crash between two of them is completed by the next owner.
func (p *Pool) complete(ctx context.Context, a *attempt, s Settlement) {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"write the terminal record", func(ctx context.Context) (err error) { s, err = p.publisher.End(ctx, s); return err }},
		{"publish the outcome", func(ctx context.Context) error { return p.publisher.Announce(ctx, s) }},
		{"end the log", func(ctx context.Context) error { return p.publisher.EndLog(ctx, s) }},
		{"acknowledge the message", func(ctx context.Context) error { return p.acknowledge(ctx, a, s) }},
	}
	for _, step := range steps {
		if err := p.persist(ctx, a, step.what, step.do); err != nil {
			p.unfinished(a, err)
			return
		}
	}
	p.settled(a, s)
	p.forget(ctx, a)
	p.releaseLease(ctx, a)
}

// forgetTimeout bounds the deletion of a run record.
const forgetTimeout = 30 * time.Second

// forget deletes the run record. The task has ended without it: a record that
// stays holds an outcome that has been said.
func (p *Pool) forget(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, forgetTimeout)
	defer cancel()
	if err := p.persist(ctx, a, "delete the run record", a.claim.Delete); err != nil {
		a.log.Error("the run record of an ended task stays", zap.Error(err))
	}
}

// acknowledge ends the message: into the dead letters where it is not valid.
func (p *Pool) acknowledge(ctx context.Context, a *attempt, s Settlement) error {
	if !s.DeadLetter {
		return a.delivery.Done(ctx)
	}
	return a.delivery.Discard(ctx, DeadLetter{ID: s.TaskID, Reason: s.Reason, Message: s.Message, Attempt: s.Attempt})
}

// count counts what became of a delivery, and notes it in its span.
func (p *Pool) count(a *attempt, result string) {
	p.options.Metrics.settled(result)
	a.trace.outcome(result)
}

// unfinished says why a settlement stopped half-way.
func (p *Pool) unfinished(a *attempt, err error) {
	if errors.Is(err, ErrClaimLost) {
		a.log.Warn("another worker owns the task")
		p.count(a, "lost")
		return
	}
	a.log.Error("the outcome could not be delivered; whoever gets the task next completes it", zap.Error(err))
	p.count(a, "undelivered")
}

// settled logs and counts a task that has ended.
func (p *Pool) settled(a *attempt, s Settlement) {
	p.options.Metrics.ended(s, time.Since(a.started))
	p.options.Metrics.settled("done")
	a.trace.outcome(s.Status)
	fields := []zap.Field{zap.String("outcome", s.Status), zap.Duration("took", time.Since(a.started).Round(time.Millisecond))}
	if !s.Succeeded() {
		fields = append(fields, zap.String("reason", string(s.Reason)), zap.String("error", s.Message))
	}
	a.log.at(s.Stage).Info("task settled", fields...)
	if p.options.OnSettled != nil {
		p.options.OnSettled(s)
	}
}

// persist repeats a step that must not be left out until it succeeds, the claim
// is lost, or ctx ends. NATS may be away for as long as it likes.
func (p *Pool) persist(ctx context.Context, a *attempt, what string, do func(context.Context) error) error {
	wait := backoff{first: 100 * time.Millisecond, most: 2 * time.Second}
	for {
		err := do(ctx)
		if err == nil || errors.Is(err, ErrClaimLost) {
			return err
		}
		a.log.Warn(what, zap.Error(err))
		if !wait.pause(ctx) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// removeDir removes the work directory of the attempt, whatever its end was.
func (p *Pool) removeDir(a *attempt) {
	if a.dir == "" {
		return
	}
	if err := p.options.Workspace.Remove(a.dir); err != nil {
		a.log.Warn("remove the work directory", zap.Error(err))
	}
}
