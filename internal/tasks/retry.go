package tasks

import (
	"context"
	"io"
	"time"
)

// run calls do until it succeeds, fails for good, or the tries are used up.
func (r Retry) run(ctx context.Context, log io.Writer, do func(context.Context) error) error {
	r = r.withDefaults()
	wait := r.First
	for try := 1; ; try++ {
		err := endedOr(ctx, do(ctx))
		if err == nil || try > r.Times || !r.helps(err) {
			return err
		}
		pause := r.jittered(wait)
		sayTo(log, "%s; trying again in %s (%d of %d)", AsFailure(err).Message, pause.Round(time.Millisecond), try, r.Times)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		wait = min(wait*2, r.Most)
	}
}

// helps reports whether trying again may end otherwise. An error without a
// row of its own is not known to be harmless to repeat in a hurry: it waits
// for the next attempt.
func (r Retry) helps(err error) bool {
	failure := AsFailure(err)
	return failure.Reason != ReasonInternal && failure.Row().Retryable()
}

func (r Retry) withDefaults() Retry {
	if r.Times == 0 {
		r.Times = 4
	}
	if r.First <= 0 {
		r.First = time.Second
	}
	if r.Most <= 0 {
		r.Most = 15 * time.Second
	}
	return r
}

func (r Retry) jittered(wait time.Duration) time.Duration {
	if r.Jitter == nil {
		return wait
	}
	return wait/2 + time.Duration(float64(wait/2)*r.Jitter())
}

// endedOr returns the context's cause where it has ended: an interrupted step
// fails in ways that say nothing about why.
func endedOr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sleep waits, or returns the context's cause where that comes first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
