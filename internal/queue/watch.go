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
)

// Watch looks, while the service runs, whether everything of ours is there and
// as it must be. What somebody has deleted is made again; what somebody has
// changed is named in the log until it fits again.
type Watch struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	topology Topology
	log      *zap.Logger
	// said is the last complaint, so that each is made once.
	said string
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
		w.complain(w.Look(ctx))
	}
}

// complain logs what does not fit, once. A server that is away is no news here.
func (w *Watch) complain(err error) {
	text := ""
	if err != nil && w.nc.IsConnected() && !errors.Is(err, context.DeadlineExceeded) {
		text = err.Error()
	}
	if text != "" && text != w.said {
		w.log.Error("what the service needs on the NATS server is not as it must be", zap.Error(err))
	}
	w.said = text
}

// Look looks once. Its error names everything that is not as it must be.
func (w *Watch) Look(ctx context.Context) error {
	var wrong []error
	for _, want := range slices.Concat(w.topology.records(), w.topology.service()) {
		gone, err := w.isGone(ctx, want.Name)
		if err == nil {
			err = ensureStream(ctx, w.js, want)
		}
		if err == nil && gone {
			w.log.Error("a stream was deleted while the service ran; it is made again, and what it held is lost", zap.String("stream", want.Name))
		}
		wrong = append(wrong, err)
	}
	return errors.Join(append(wrong, w.lookForConsumer(ctx))...)
}

func (w *Watch) isGone(ctx context.Context, stream string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	_, err := w.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read stream %s: %w", stream, err)
	}
	return false, nil
}

// lookForConsumer makes the consumer again where it was deleted: every message in
// the queue is then delivered again, and the leases say which of them run.
func (w *Watch) lookForConsumer(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	_, err := w.js.Consumer(bounded, w.topology.Tasks(), consumerName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		w.log.Error("the consumer was deleted while the service ran; it is made again", zap.String("stream", w.topology.Tasks()))
	}
	return ensureConsumer(ctx, w.js, w.topology)
}
