package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// ServerFloor is the oldest NATS server whose features suffice.
const ServerFloor = minServer

// Found is what stands on a server where one of our streams or our consumer should.
type Found struct {
	// Name is the stream's, or "consumer <name>".
	Name string
	// Missing is true where it is not there; run makes it.
	Missing bool
	// Err says why it could not be read, or how it does not fit.
	Err error
}

// Inspect looks at everything that the service needs, and changes nothing.
func Inspect(ctx context.Context, js jetstream.JetStream, t Topology) []Found {
	var all []Found
	for _, want := range slices.Concat(t.records(), t.service()) {
		all = append(all, inspectStream(ctx, js, want))
	}
	return append(all, inspectConsumer(ctx, js, t))
}

func inspectStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) Found {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return Found{Name: want.Name, Missing: true}
	case err != nil:
		return Found{Name: want.Name, Err: fmt.Errorf("read stream %s: %w", want.Name, err)}
	}
	return Found{Name: want.Name, Err: fits(want, stream.CachedInfo().Config)}
}

func inspectConsumer(ctx context.Context, js jetstream.JetStream, t Topology) Found {
	found := Found{Name: "consumer " + consumerName}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	consumer, err := js.Consumer(ctx, t.Tasks(), consumerName)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		found.Missing = true
	case err != nil:
		found.Err = fmt.Errorf("read consumer %s of stream %s: %w", consumerName, t.Tasks(), err)
	default:
		found.Err = consumerFits(t, consumer.CachedInfo().Config)
	}
	return found
}

// Publishes lists the subjects that a worker publishes to whose streams are
// there, but for those of the backend. A "*" stands for an id.
func (t Topology) Publishes() []string {
	subjects := []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES"}
	for _, stream := range []string{t.Tasks(), t.Events(), t.DeadLetters(), "KV_" + t.Runs(), "KV_" + t.Leases()} {
		subjects = append(subjects, "$JS.API.STREAM.INFO."+stream)
	}
	for _, stream := range []string{t.Tasks(), t.Events(), "KV_" + t.Runs(), "KV_" + t.Leases()} {
		subjects = append(subjects, "$JS.API.STREAM.MSG.GET."+stream)
	}
	return append(subjects,
		"$JS.API.STREAM.MSG.DELETE.KV_"+t.Runs(),
		"$JS.API.STREAM.MSG.DELETE.KV_"+t.Leases(),
		"$JS.API.CONSUMER.INFO."+t.Tasks()+"."+consumerName,
		"$JS.API.CONSUMER.MSG.NEXT."+t.Tasks()+"."+consumerName,
		"$JS.ACK."+t.Tasks()+"."+consumerName+".>",
		"$KV."+t.Runs()+".*", "$KV."+t.Leases()+".*.*",
		t.subject("done", "*"), t.subject("event", "*", "*"), t.subject("dlq", "*"),
	)
}

// Creates lists the subjects that run publishes to as well where streams are
// missing.
func (t Topology) Creates() []string {
	var subjects []string
	for _, want := range slices.Concat(t.records(), t.service()) {
		subjects = append(subjects, "$JS.API.STREAM.CREATE."+want.Name)
	}
	return append(subjects, "$JS.API.CONSUMER.CREATE."+t.Tasks()+"."+consumerName)
}
