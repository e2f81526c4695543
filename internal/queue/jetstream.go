package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

const (
	// fetchWait is how long one request for a message waits at the server, and so how
	// long a worker that has stalled is still given messages. From 10 s on, less a
	// second, nats.go has the server say every 5 s that the request still waits.
	fetchWait = 12 * time.Second
	// requestTimeout bounds each verb.
	requestTimeout = 5 * time.Second
	// leastDelay keeps a message that is handed back at once from spinning.
	leastDelay = 200 * time.Millisecond
)

// JetStream is the work queue.
type JetStream struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	topology Topology
	consumer jetstream.Consumer
	stream   jetstream.Stream
	leases   *Leases
	crowds   crowds
}

var _ worker.Queue = (*JetStream)(nil)

// NewJetStream binds to the work queue, which EnsureService has made.
func NewJetStream(ctx context.Context, nc *nats.Conn, leases *Leases) (*JetStream, error) {
	js, t := leases.js, leases.topology
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	consumer, err := js.Consumer(ctx, t.Tasks(), consumerName)
	if err != nil {
		return nil, fmt.Errorf("read consumer %s of stream %s: %w", consumerName, t.Tasks(), err)
	}
	stream, err := js.Stream(ctx, t.Tasks())
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", t.Tasks(), err)
	}
	return &JetStream{nc: nc, js: js, topology: t, consumer: consumer, stream: stream, leases: leases}, nil
}

// Fetch asks for exactly one message: none waits inside a busy worker while
// its ack wait runs out.
func (q *JetStream) Fetch(ctx context.Context) (worker.Delivery, error) {
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, fetchWait)
		msg, err := q.consumer.Next(jetstream.FetchContext(bounded))
		cancel()
		switch {
		case err == nil:
			return newDelivery(q, msg)
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
			continue
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		default:
			return nil, fmt.Errorf("fetch from %s: %w", q.topology.Tasks(), err)
		}
	}
	return nil, context.Cause(ctx)
}

// delivery is one message of the work queue.
type delivery struct {
	queue *JetStream
	msg   jetstream.Msg
	meta  *jetstream.MsgMetadata
}

var _ worker.Delivery = (*delivery)(nil)

func newDelivery(q *JetStream, msg jetstream.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read the metadata of a message on %s: %w", msg.Subject(), err)
	}
	return &delivery{queue: q, msg: msg, meta: meta}, nil
}

// Message returns what a slot needs to know beside the task.
func (d *delivery) Message() worker.Message {
	return worker.Message{
		Subject:     d.msg.Subject(),
		Queued:      d.meta.Timestamp,
		Deliveries:  int(d.meta.NumDelivered),
		Traceparent: d.msg.Headers().Get("traceparent"),
	}
}

// Extend says that the message is still being worked on.
func (d *delivery) Extend(context.Context) error {
	if err := d.msg.InProgress(); err != nil {
		return fmt.Errorf("extend %s: %w", d.msg.Subject(), err)
	}
	return nil
}

// Done acknowledges and waits for the server's confirmation. A message that is
// not in the queue any more needs none: its acknowledgement is never confirmed.
func (d *delivery) Done(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := d.msg.DoubleAck(bounded)
	if err == nil || errors.Is(err, jetstream.ErrMsgAlreadyAckd) || d.isGone(ctx) {
		return nil
	}
	return fmt.Errorf("acknowledge %s: %w", d.msg.Subject(), err)
}

// isGone reports whether the queue does not hold the message any more: somebody
// has deleted it, or the stream.
func (d *delivery) isGone(ctx context.Context) bool {
	stands, err := d.stands(ctx)
	return err == nil && !stands
}

// read returns what stands in the queue where the message stood.
func (d *delivery) read(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return d.queue.stream.GetMsg(ctx, d.meta.Sequence.Stream)
}

// Retry hands the message back.
func (d *delivery) Retry(ctx context.Context, after time.Duration) error {
	if err := d.msg.NakWithDelay(max(after, leastDelay)); err != nil {
		return fmt.Errorf("hand back %s: %w", d.msg.Subject(), err)
	}
	return d.flush(ctx)
}

// Discard writes the dead letter, and only then ends the message.
func (d *delivery) Discard(ctx context.Context, why worker.DeadLetter) error {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	letter := d.deadLetter(why)
	fit(letter, int(d.queue.nc.MaxPayload()))
	if _, err := d.queue.js.PublishMsg(bounded, letter, jetstream.WithMsgID(d.deadLetterKey(why))); err != nil {
		return fmt.Errorf("write the dead letter of %s: %w", d.msg.Subject(), err)
	}
	if err := d.msg.TermWithReason(string(why.Reason)); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		return fmt.Errorf("end %s: %w", d.msg.Subject(), err)
	}
	return d.flush(ctx)
}

// deadLetter is the message as it came, with why it was refused.
func (d *delivery) deadLetter(why worker.DeadLetter) *nats.Msg {
	msg := nats.NewMsg(d.queue.topology.deadLetterSubject(d.letterID(why)))
	msg.Data = d.msg.Data()
	for name, values := range d.msg.Headers() {
		if !strings.HasPrefix(name, "Nats-") {
			msg.Header[name] = values
		}
	}
	msg.Header.Set("Dispatch-Reason", string(why.Reason))
	msg.Header.Set("Dispatch-Error", headerText(why.Message))
	msg.Header.Set("Dispatch-Attempt", strconv.Itoa(why.Attempt))
	msg.Header.Set("Dispatch-Subject", d.msg.Subject())
	return msg
}

// letterMargin is room for what publishing adds to a dead letter.
const letterMargin = 512

// fit cuts the body of a dead letter that our headers make larger than the
// server takes, and says so: a message that cannot be put away would keep its
// slot for ever.
func fit(letter *nats.Msg, limit int) {
	if letter.Size()+letterMargin <= limit {
		return
	}
	text := letter.Header.Get("Dispatch-Error")
	letter.Header.Set("Dispatch-Error", headerText("the end of the body is left out, it does not fit beside these headers; "+text))
	over := letter.Size() + letterMargin - limit
	letter.Data = letter.Data[:max(0, len(letter.Data)-over)]
}

func (d *delivery) deadLetterKey(why worker.DeadLetter) string {
	return d.letterID(why) + ".dlq." + strconv.FormatUint(d.meta.Sequence.Stream, 10)
}

// letterID is the id of the subject where that has one (it wins over the
// body's), else the body's, else a name made from the subject.
func (d *delivery) letterID(why worker.DeadLetter) string {
	tokens := strings.Split(d.msg.Subject(), ".")
	if id := tokens[len(tokens)-1]; tasks.ValidID(id) && len(tokens) == d.queue.topology.taskTokens() {
		return id
	}
	if tasks.ValidID(why.ID) {
		return why.ID
	}
	return hashToken(d.msg.Subject())
}

// flush makes sure that a verb without an answer has left.
func (d *delivery) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := d.queue.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush the connection: %w", err)
	}
	return nil
}

// headerText keeps a text on one line and within 1 KiB.
func headerText(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.ToValidUTF8(text[:min(len(text), 1024)], "")
}

// Decode reads the task; the subject must not contradict it.
func (d *delivery) Decode() (tasks.Task, error) {
	kind, target, id, ok := d.queue.topology.taskParts(d.msg.Subject())
	if !ok {
		message := fmt.Sprintf("the subject %s has not the form %s", d.msg.Subject(), d.queue.topology.TaskSubject("<task>", "<target>", "<id>"))
		return tasks.Task{}, tasks.Fail(tasks.ReasonSubjectMismatch, message, nil)
	}
	return decode(d.msg.Data(), kind, target, id)
}

func decode(body []byte, kind, target, id string) (tasks.Task, error) {
	return tasks.Decode(tasks.Message{Body: body, Subject: tasks.SubjectParts{Kind: kind, Target: target, ID: id}})
}
