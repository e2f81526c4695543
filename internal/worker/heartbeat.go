package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// heartbeat says that a delivery is being worked on, from its receipt until it
// is settled, and keeps the attempt's lease once there is one.
type heartbeat struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	hold   atomic.Pointer[hold]
}

// startHeartbeat outlives ctx's end: while a task is stopped and settled its
// message still is ours.
func (p *Pool) startHeartbeat(ctx context.Context, a *attempt) *heartbeat {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &heartbeat{cancel: cancel}
	h.done.Go(func() { p.beat(ctx, h, a) })
	return h
}

// beat stops for good once the attempt is somebody else's: a sign of life of
// ours would then count for their delivery.
func (p *Pool) beat(ctx context.Context, h *heartbeat, a *attempt) {
	ticker := time.NewTicker(p.options.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if held := h.hold.Load(); held != nil {
			if err := held.renew(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("renew the lease", zap.Error(err))
			}
			if held.isLost() {
				return
			}
		}
		if err := a.delivery.Extend(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("extend the delivery", zap.Error(err))
		}
	}
}

// keep gives the heartbeat the attempt's lease.
func (h *heartbeat) keep(held *hold) { h.hold.Store(held) }

func (h *heartbeat) stop() {
	h.cancel()
	h.done.Wait()
}
