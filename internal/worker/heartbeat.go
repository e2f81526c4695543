package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/logging"
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
// ours would then count for their delivery. One that fails is tried again soon: who
// comes back from an outage must say so before others take its run for lost.
func (p *Pool) beat(ctx context.Context, h *heartbeat, a *attempt) {
	timer := time.NewTimer(p.options.Heartbeat)
	defer timer.Stop()
	var news logging.News
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began, next := time.Now(), p.options.Heartbeat
		err := h.say(ctx, a)
		if err != nil {
			next /= 8
		}
		if ctx.Err() == nil && news.Is(err) {
			a.log.Warn("say that the task is worked on", zap.String("error", err.Error()))
		}
		if held := h.hold.Load(); held != nil && held.isLost() {
			return
		}
		timer.Reset(next - time.Since(began))
	}
}

// say renews the lease, if there is one yet, and extends the delivery.
func (h *heartbeat) say(ctx context.Context, a *attempt) error {
	held := h.hold.Load()
	if held == nil {
		return a.delivery.Extend(ctx)
	}
	err := held.renew(ctx)
	if held.isLost() {
		return err
	}
	return errors.Join(err, a.delivery.Extend(ctx))
}

// keep gives the heartbeat the attempt's lease.
func (h *heartbeat) keep(held *hold) { h.hold.Store(held) }

func (h *heartbeat) stop() {
	h.cancel()
	h.done.Wait()
}
