package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/logging"
)

// Watch looks, while the service runs, whether everything of ours is there and
// as it must be. What somebody has deleted is made again; what somebody has
// changed is named in the log until it fits again.
type Watch struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	topology Topology
	log      *zap.Logger
	// news are the complaints that were not made before.
	news logging.News
}

// NewWatch returns a watch. Nothing happens before Run.
func NewWatch(nc *nats.Conn, js jetstream.JetStream, t Topology, log *zap.Logger) *Watch {
	return &Watch{nc: nc, js: js, topology: t, log: log}
}

// Run looks with every beat until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	ticker := time.NewTicker(w.topology.Pace.Beat())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := w.Look(ctx); ctx.Err() == nil {
			w.complain(err)
		}
	}
}

// complain logs what does not fit, once. A server that is away is no news here.
func (w *Watch) complain(err error) {
	if !w.nc.IsConnected() {
		err = nil
	}
	if w.news.Is(err) {
		w.log.Error("what the service needs on the NATS server is not as it must be", zap.Error(err))
	}
}

// Look looks once. Its error names everything that is not as it must be; what
// cannot be seen now is none of that.
func (w *Watch) Look(ctx context.Context) error {
	var wrong []error
	for _, piece := range w.pieces() {
		wrong = append(wrong, w.lookFor(ctx, piece))
	}
	return errors.Join(wrong...)
}

// piece is one thing of ours on the server.
type piece struct {
	what string
	// loss is what a deletion costs.
	loss         string
	read, ensure func(context.Context) error
}

func (w *Watch) pieces() []piece {
	var all []piece
	for _, want := range slices.Concat(w.topology.records(), w.topology.service()) {
		all = append(all, piece{
			what: "stream " + want.Name, loss: "what it held is lost",
			read:   func(ctx context.Context) error { _, err := w.js.Stream(ctx, want.Name); return err },
			ensure: func(ctx context.Context) error { return ensureStream(ctx, w.js, want) },
		})
	}
	return append(all, piece{
		what: "consumer " + consumerName + " of stream " + w.topology.Tasks(),
		// The leases say which of them run.
		loss: "every message in the queue is delivered again",
		read: func(ctx context.Context) error {
			_, err := w.js.Consumer(ctx, w.topology.Tasks(), consumerName)
			return err
		},
		ensure: func(ctx context.Context) error { return ensureConsumer(ctx, w.js, w.topology) },
	})
}

// lookFor makes what was deleted again, where we may, and says so.
func (w *Watch) lookFor(ctx context.Context, p piece) error {
	bounded, cancel := context.WithTimeout(ctx, setupTimeout)
	err := p.read(bounded)
	cancel()
	gone := errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound)
	if err == nil || gone {
		err = p.ensure(ctx)
	}
	switch {
	case gone && err == nil:
		w.log.Error("it was deleted while the service ran, and was made again", zap.String("what", p.what), zap.String("loss", p.loss))
	case gone && ctx.Err() == nil:
		// A right that is missing is a time-out, too.
		return fmt.Errorf("%s was deleted and cannot be made again; start a worker that may make it: %w", p.what, err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil
	}
	return err
}
