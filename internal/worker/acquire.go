package worker

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// acquire takes the delivery's turn and claims its run. It returns false where
// the task is not ours now; then the delivery has been dealt with. Beside true it
// returns the settlement of a task whose end was said only in part.
func (p *Pool) acquire(work context.Context, a *attempt) (ended *Settlement, ours bool) {
	ctx, cancel := p.settleContext(work, a)
	defer cancel()
	err := p.turn(ctx, a)
	if blocked := (*BlockedError)(nil); errors.As(err, &blocked) {
		ended, err = p.endedAlready(ctx, a, blocked)
	}
	if err == nil {
		err = p.claim(ctx, a, ended != nil)
	}
	if err == nil && ended == nil {
		ended, err = p.endedBefore(ctx, a)
	}
	if err == nil {
		return ended, true
	}
	p.notOurs(ctx, a, ended, err)
	return nil, false
}

// endedAlready returns the end of a blocked task that was asked for again, so
// that it need not wait for others only to hear that. It is asked in a message's
// first deliveries alone: tens of thousands may be blocked.
func (p *Pool) endedAlready(ctx context.Context, a *attempt, blocked *BlockedError) (*Settlement, error) {
	if blocked.Mine || a.delivery.Message().Deliveries > 2 {
		return nil, blocked
	}
	a.lease = free{blocked.Fence}
	ended, err := p.publisher.Ended(ctx, a.task.ID)
	if err == nil && ended == nil {
		err = blocked
	}
	return ended, err
}

// endedBefore returns the task's end where that has been said. It is read after
// the claim: a worker that ends the task writes the terminal record first and
// then deletes its run, so whoever finds no run finds the record. A run that was
// made for nothing is deleted again, and ErrNoRun returned.
func (p *Pool) endedBefore(ctx context.Context, a *attempt) (*Settlement, error) {
	ended, err := p.publisher.Ended(ctx, a.task.ID)
	if err != nil || ended == nil || a.claim.Run().Claims > 1 {
		return ended, err
	}
	if err := a.claim.Delete(ctx); err != nil {
		return ended, err
	}
	return ended, ErrNoRun
}

// turn takes the lease of the task's targets, unless the task is to end
// whatever others do.
func (p *Pool) turn(ctx context.Context, a *attempt) error {
	if a.isInvalid() {
		return nil
	}
	lease, err := a.delivery.Turn(ctx, Holder{TaskID: a.task.ID, Targets: a.task.Targets()})
	if blocked := (*BlockedError)(nil); errors.As(err, &blocked) {
		return p.passesBy(ctx, a, blocked)
	}
	if err != nil {
		return err
	}
	a.lease = lease
	if err := p.lookForCancel(ctx, a); err != nil {
		return err
	}
	return p.supersede(ctx, a)
}

// lookForCancel refuses a task whose end somebody has asked for.
func (p *Pool) lookForCancel(ctx context.Context, a *attempt) error {
	cancelled, err := p.publisher.Cancelled(ctx, a.task.ID)
	if cancelled {
		a.refused = tasks.ErrCancelled
	}
	return err
}

func (a *attempt) isInvalid() bool { return a.invalid != nil }
func (a *attempt) isRefused() bool { return a.refused != nil }

// passesBy lets a blocked task end that needs no turn: one that is cancelled,
// and one that will not be delivered again.
func (p *Pool) passesBy(ctx context.Context, a *attempt, blocked *BlockedError) error {
	if blocked.Mine {
		return blocked
	}
	a.lease = free{blocked.Fence}
	if err := p.lookForCancel(ctx, a); err != nil || a.isRefused() {
		return err
	}
	if !a.delivery.Message().Last {
		return blocked
	}
	a.refused = tasks.Fail(tasks.ReasonTimeout, "the task waited for its turn until its time was over: "+blocked.Error(), nil)
	return nil
}

// supersede refuses a deployment behind which a newer one of its job waits,
// where the operator has chosen that for the job.
func (p *Pool) supersede(ctx context.Context, a *attempt) error {
	if a.isRefused() || a.task.Deploy == nil || !p.options.Supersede(a.task.Deploy.JobID) {
		return nil
	}
	newer, err := a.delivery.Newer(ctx)
	if err != nil || newer == "" {
		return err
	}
	// What has ended and was only published again takes nobody's place, nor does what
	// will not be carried out.
	if ended, err := p.publisher.Ended(ctx, newer); err != nil || ended != nil {
		return err
	}
	if cancelled, err := p.publisher.Cancelled(ctx, newer); err != nil || cancelled {
		return err
	}
	a.refused = tasks.Fail(tasks.ReasonSuperseded, fmt.Sprintf("the newer deployment %s of job %s took its place", newer, a.task.Deploy.JobID), nil)
	return nil
}

// claim makes the run ours. A registered deployment is never superseded.
func (p *Pool) claim(ctx context.Context, a *attempt, resume bool) error {
	request := ClaimRequest{TaskID: a.task.ID, Resume: resume, Respect: p.options.respect() && !a.delivery.Message().Last}
	if !resume {
		fresh, err := p.publisher.Begin(ctx, p.subject(a, Run{Claims: 1, Attempts: 1}))
		if err != nil {
			return err
		}
		fresh.Queue, fresh.Targets = a.delivery.Message().Subject, a.task.Targets()
		request.New = fresh
	}
	claim, err := claimUnder(ctx, p.runs, request, a.lease)
	if err != nil {
		return err
	}
	a.claim = claim
	if a.refused != nil && a.refused.Reason == tasks.ReasonSuperseded && claim.Run().Reached.Registration != nil {
		a.refused = nil
	}
	return nil
}

// claimUnder claims a run under the lease of its targets.
func claimUnder(ctx context.Context, runs Runs, request ClaimRequest, lease Lease) (Claim, error) {
	request.Fence = lease.Fence()
	claim, err := runs.Claim(ctx, request)
	_, isNone := lease.(free)
	if errors.Is(err, ErrHeld) && !request.Respect && !isNone && lease.Renew(ctx) == nil {
		// The lease is ours still, so nobody has a later one: the numbers began
		// anew because somebody has deleted the bucket of leases.
		request.Fence = 0
		claim, err = runs.Claim(ctx, request)
	}
	return claim, err
}

// notOurs ends a delivery that is not ours now: a duplicate of a task that has
// ended is acknowledged, anything else is handed back.
func (p *Pool) notOurs(ctx context.Context, a *attempt, ended *Settlement, err error) {
	blocked := (*BlockedError)(nil)
	switch {
	case errors.Is(err, ErrNoRun) && a.isOther(ended):
		p.refuseOther(ctx, a, "has ended")
	case errors.Is(err, ErrNoRun):
		p.duplicate(ctx, a, ended)
	case errors.Is(err, ErrOtherTask):
		p.refuseOther(ctx, a, "has begun")
	case errors.As(err, &blocked):
		p.sayBlocked(ctx, a, blocked)
		p.handBackAs(ctx, a, "blocked", blocked.After)
	default:
		p.yield(ctx, a, "claim the task", err)
	}
}

// sayBlocked tells why a task waits. It asks again and again, so only its first
// deliveries say so: the second, too, because nobody looks at the first in a crowd.
func (p *Pool) sayBlocked(ctx context.Context, a *attempt, blocked *BlockedError) {
	say := a.log.Debug
	if a.delivery.Message().Deliveries <= 2 && !blocked.Mine {
		say = a.log.Info
		p.publisher.Waiting(ctx, p.subject(a, Run{}), Wait{Behind: blocked.By})
	}
	say("not its turn yet", zap.Error(blocked), zap.Duration("delay", blocked.After))
}

// passOn hands a message back that has just come into a crowd, without looking
// into it: tens of thousands may come at once, and another job's task behind them.
func (p *Pool) passOn(ctx context.Context, delivery Delivery, blocked *BlockedError) {
	p.options.Metrics.settled("blocked")
	if err := delivery.Retry(ctx, blocked.After); err != nil {
		p.options.Log.Warn("hand the message back; it is redelivered when its ack wait ends",
			zap.String("subject", delivery.Message().Subject), zap.Error(err))
	}
}

// yield hands back a task with which nothing was done yet, and the attempt with
// it: no worker was lost.
func (p *Pool) yield(ctx context.Context, a *attempt, what string, err error) {
	a.log.Warn(what, zap.Error(err))
	if a.claim != nil {
		before := a.claim.Run().Attempts
		err := a.claim.Save(ctx, func(r *Run) { r.Attempts = before - 1 })
		if errors.Is(err, ErrClaimLost) {
			p.unfinished(a, err)
			return
		}
		if err != nil {
			a.log.Warn("give the attempt back", zap.Error(err))
		}
	}
	p.giveUpLease(ctx, a)
	if errors.Is(err, ErrHeld) { // in the grace after a reconnect
		p.handBack(ctx, a, p.options.Heartbeat)
		return
	}
	// It is said now and then, not each time: that may go on for hours.
	if n := a.delivery.Message().Deliveries; n&(n-1) == 0 {
		message := fmt.Sprintf("%s: %v", what, err)
		p.publisher.Waiting(ctx, p.subject(a, Run{}), Wait{Message: a.redactor.String(message)})
	}
	p.handBackAs(ctx, a, "yield", p.options.Heartbeat)
}

// giveUpLease lets the next task of the target begin where nothing was begun.
func (p *Pool) giveUpLease(ctx context.Context, a *attempt) {
	release := a.lease.Release
	if a.hold != nil { // the heartbeat has it, too
		release = a.hold.release
	}
	if err := release(ctx); err != nil {
		a.log.Warn("release the lease; it ends by itself", zap.Error(err))
	}
}

// isOther reports whether the task that has ended came from another message than
// the one of the attempt: for another job, or of another kind.
func (a *attempt) isOther(ended *Settlement) bool {
	own := a.delivery.Message().Subject
	return ended != nil && ended.Queue != "" && own != "" && ended.Queue != own
}

// refuseOther puts away a task whose id is that of another one that has begun, or
// has ended: the first to begin counts.
func (p *Pool) refuseOther(ctx context.Context, a *attempt, what string) {
	p.giveUpLease(ctx, a)
	a.invalid = tasks.Fail(tasks.ReasonInvalidTask, "another task with the id "+a.task.ID+" "+what+": an id names one request", nil)
	p.discard(ctx, a)
}

// duplicate acknowledges a task that has ended already.
func (p *Pool) duplicate(ctx context.Context, a *attempt, ended *Settlement) {
	p.giveUpLease(ctx, a)
	if ended != nil && p.options.OnSettled != nil {
		p.options.OnSettled(*ended)
	}
	a.log.Info("the task has ended already; nothing is done again")
	p.publisher.Duplicate(ctx, a.task.ID, a.trace.header())
	p.count(a, "duplicate")
	if err := a.delivery.Done(ctx); err != nil {
		a.log.Warn("acknowledge a duplicate", zap.Error(err))
	}
}

// releaseLease lets the next task of the target begin.
func (p *Pool) releaseLease(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, forgetTimeout)
	defer cancel()
	p.giveUpLease(ctx, a)
}
