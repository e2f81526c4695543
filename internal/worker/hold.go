package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// hold is what makes an attempt ours: the lease of its targets and the claim of
// its run. The heartbeat renews it while the steps ask it.
type hold struct {
	lease Lease
	claim Claim
	// lose ends the attempt's work.
	lose context.CancelCauseFunc

	// gone ends once the attempt is not ours any more.
	gone context.Context //nolint:containedctx // it is a signal, not a call's context
	end  context.CancelFunc

	mu   sync.Mutex
	lost bool
	// retaking is true from when the lease was gone until it is ours again and the
	// claim has been confirmed under it.
	retaking atomic.Bool
}

func newHold(lease Lease, claim Claim, lose context.CancelCauseFunc) *hold {
	h := &hold{lease: lease, claim: claim, lose: lose}
	h.gone, h.end = context.WithCancel(context.Background())
	return h
}

// renew prolongs the lease. One that has ended while NATS was away is taken
// again where nobody has claimed the run since. It returns ErrLeaseLost, now and
// for ever, once the attempt is not ours any more.
func (h *hold) renew(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost {
		return ErrLeaseLost
	}
	err := h.lease.Renew(ctx)
	if errors.Is(err, ErrLeaseGone) {
		h.retaking.Store(true)
		err = h.retake(ctx)
	}
	if err == nil && h.retaking.Load() {
		err = h.confirm(ctx)
	}
	if errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrClaimLost) {
		h.lost = true
		h.end()
		h.lose(tasks.ErrLeaseLost)
		return ErrLeaseLost
	}
	return err
}

func (h *hold) retake(ctx context.Context) error {
	if err := h.claim.Holds(ctx); err != nil {
		return err
	}
	return h.lease.Retake(ctx)
}

// confirm writes the new lease's fence into the run once the lease is ours again:
// somebody may have claimed the run, and even ended it, between the two; and who
// had the lease then and has not claimed yet is refused from now on.
func (h *hold) confirm(ctx context.Context) error {
	err := h.claim.Save(ctx, func(r *Run) { r.Fence = h.lease.Fence() })
	h.retaking.Store(err != nil)
	if errors.Is(err, ErrClaimLost) {
		_ = h.lease.Release(ctx) // it would end by itself
	}
	return err
}

// valid reports whether the attempt is ours yet for certain, by our own clock.
func (h *hold) valid() bool { return !h.retaking.Load() && h.lease.Valid() }

// guard is asked before each side effect: the lease is renewed once more, and
// while nobody can say whose it is the side effect waits.
func (h *hold) guard(ctx context.Context) error {
	wait := backoff{first: 100 * time.Millisecond, most: 2 * time.Second}
	for {
		err := h.renew(ctx)
		if err == nil && h.valid() {
			return nil
		}
		if errors.Is(err, ErrLeaseLost) {
			return tasks.ErrLeaseLost
		}
		if !wait.pause(ctx) {
			return context.Cause(ctx)
		}
	}
}

// release gives the lease up. It ends by itself where that fails.
func (h *hold) release(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost {
		return nil
	}
	h.lost = true
	h.end()
	return h.lease.Release(ctx)
}

// isLost reports whether the attempt is not ours any more.
func (h *hold) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// free is the lease of a task that needs none: it has no readable target, or ends
// without its turn; then fence is that of the lease for which it waits.
type free struct{ fence uint64 }

var _ Lease = free{}

func (free) Renew(context.Context) error   { return nil }
func (free) Retake(context.Context) error  { return nil }
func (f free) Fence() uint64               { return f.fence }
func (free) Valid() bool                   { return true }
func (free) Release(context.Context) error { return nil }
