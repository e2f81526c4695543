package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// Options are a publisher's settings.
type Options struct {
	Subjects Subjects
	// Stream is the name of our stream of terminal records and run events.
	// Empty means that we may only publish the legacy subjects: no terminal
	// record is read or written, and Nats-Msg-Id alone keeps events single.
	Stream string
	// Timeout bounds one request to the server; 5 s where 0. A request to a node
	// without a leader may never be answered.
	Timeout time.Duration
	// FlushTimeout is how long a connected server may take for the last log
	// lines; 10 s where 0. A log never keeps an outcome back for longer.
	FlushTimeout time.Duration
	// Worker is named in the run events.
	Worker  string
	Log     *zap.Logger
	Metrics *Metrics
}

// Publisher publishes what happens to tasks. It is safe for concurrent use.
type Publisher struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	options Options
	bound   bound
	lanes   lanes
}

var _ worker.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher over a connection that stays the caller's.
func NewPublisher(nc *nats.Conn, js jetstream.JetStream, options Options) *Publisher {
	if options.Timeout <= 0 {
		options.Timeout = 5 * time.Second
	}
	if options.FlushTimeout <= 0 {
		options.FlushTimeout = 10 * time.Second
	}
	return &Publisher{nc: nc, js: js, options: options, lanes: lanes{bySubject: map[string]*lane{}}}
}

// Uncovered returns the legacy subjects that no stream covers.
func (p *Publisher) Uncovered(ctx context.Context) ([]string, error) {
	subjects := p.options.Subjects.Legacy()
	errs := make([]error, len(subjects))
	var asked sync.WaitGroup
	for i, subject := range subjects {
		asked.Go(func() { _, errs[i] = p.js.StreamNameBySubject(ctx, subject) })
	}
	asked.Wait()
	var missing []string
	for i, err := range errs {
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			missing = append(missing, subjects[i])
		case err != nil:
			return nil, fmt.Errorf("look for the stream of %s: %w", subjects[i], err)
		}
	}
	return missing, nil
}

// uncovered reports whether the server says that no stream covers the subject. A
// publish there is only a time-out where somebody listens to it.
func (p *Publisher) uncovered(ctx context.Context, subject string) bool {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	_, err := p.js.StreamNameBySubject(ctx, subject)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// errUncovered says that a subject has no stream.
var errUncovered = errors.New("no stream covers this subject")

// conflict reports a compare-and-set that somebody else won. Replicated
// streams answer with another code than single ones.
func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}

// Ended returns the settlement in the task's terminal record, nil where it has none.
func (p *Publisher) Ended(ctx context.Context, id string) (*worker.Settlement, error) {
	if p.options.Stream == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	stream, err := p.recordStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the terminal record of %s: %w", id, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, p.options.Subjects.Done(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the terminal record of %s: %w", id, err)
	}
	var settlement worker.Settlement
	if err := json.Unmarshal(msg.Data, &settlement); err != nil {
		return nil, fmt.Errorf("read the terminal record of %s: %w", id, err)
	}
	return &settlement, nil
}

// Duplicate notes that a task which has ended was asked for again.
func (p *Publisher) Duplicate(ctx context.Context, id, traceparent string) {
	p.runEvent(ctx, RunEvent{TaskID: id, Event: EventDuplicate, traceparent: traceparent})
}

// Waiting notes that a task waits.
func (p *Publisher) Waiting(ctx context.Context, about worker.Subject, what worker.Wait) {
	p.runEvent(ctx, RunEvent{
		TaskID: about.Task.ID, Kind: about.Task.Kind, Event: EventWaiting, Worker: p.options.Worker,
		Behind: what.Behind, Message: what.Message, traceparent: about.Traceparent,
	})
}

// publish sends one message through JetStream and waits for the server to have
// it. It returns the sequence under which it stands.
func (p *Publisher) publish(ctx context.Context, kind string, e worker.Event, opts ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	msg := message(e)
	if e.Key != "" {
		opts = append(opts, jetstream.WithMsgID(e.Key))
	}
	began := time.Now()
	ack, err := p.js.PublishMsg(ctx, msg, opts...)
	p.options.Metrics.published(kind, time.Since(began), err, ack != nil && ack.Duplicate)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		return 0, fmt.Errorf("publish %s: %w", e.Subject, errUncovered)
	}
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", e.Subject, err)
	}
	return ack.Sequence, nil
}

func message(e worker.Event) *nats.Msg {
	msg := nats.NewMsg(e.Subject)
	msg.Data = e.Body
	for name, value := range e.Header {
		msg.Header.Set(name, value)
	}
	return msg
}
