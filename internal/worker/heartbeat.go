package worker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// heartbeat extends a delivery from its receipt until it is settled.
type heartbeat struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// startHeartbeat outlives ctx's end: while a task is stopped and settled its
// message still is ours.
func (p *Pool) startHeartbeat(ctx context.Context, a *attempt) *heartbeat {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &heartbeat{cancel: cancel}
	h.done.Go(func() { p.beat(ctx, a) })
	return h
}

func (p *Pool) beat(ctx context.Context, a *attempt) {
	ticker := time.NewTicker(p.options.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := a.delivery.Extend(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("extend the delivery", zap.Error(err))
			}
		}
	}
}

func (h *heartbeat) stop() {
	h.cancel()
	h.done.Wait()
}
