package service

import (
	"context"
	"sync"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// beside is what every worker does beside its tasks: it hears of cancels, says
// that it lives, and ends what others have left.
type beside struct {
	bus       *bus
	records   *records
	publisher *events.Publisher
	pool      *worker.Pool
	host      Host
	info      func() queue.WorkerInfo
}

// start starts it all. It ends with ctx; unheard ends the subscription.
func (b beside) start(ctx context.Context, running *sync.WaitGroup) (unheard func(), err error) {
	cancels, err := queue.SubscribeCancels(b.bus.nc, topologyOf(b.host), func(id string) { b.pool.Cancel(id) })
	if err != nil {
		return nil, err
	}
	sweeper := b.pool.Sweeper(queue.NewOrphanage(b.records.leases, b.records.runs))
	presence := queue.NewPresence(b.records.leases, b.info, b.host.Log)
	running.Go(func() { b.bus.onReturn(ctx, b.pool.LookForCancels) })
	running.Go(func() { sweeper.Run(ctx, b.records.leases.Beat()) })
	running.Go(func() { presence.Run(ctx) })
	return cancels.Close, nil
}
