package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// End writes the terminal record where there is none yet and returns the one
// that stands.
func (p *Publisher) End(ctx context.Context, settlement worker.Settlement) (worker.Settlement, error) {
	if p.options.Stream == "" {
		return settlement, nil
	}
	body, err := json.Marshal(settlement)
	if err != nil {
		return settlement, fmt.Errorf("write the terminal record of %s: %w", settlement.TaskID, err)
	}
	record := worker.Event{Subject: p.options.Subjects.Done(settlement.TaskID), Body: body, Header: settlement.Header}
	_, err = p.publish(ctx, "terminal", record, jetstream.WithExpectLastSequencePerSubject(0))
	if !conflict(err) {
		return settlement, err
	}
	standing, err := p.Ended(ctx, settlement.TaskID)
	if err != nil {
		return settlement, err
	}
	if standing == nil {
		// After a conflict even the leader may not show the winner at once.
		return settlement, fmt.Errorf("write the terminal record of %s: refused, and no other is to be seen yet", settlement.TaskID)
	}
	return *standing, nil
}

// Announce publishes the legacy events, each once.
func (p *Publisher) Announce(ctx context.Context, settlement worker.Settlement) error {
	for _, e := range settlement.Events {
		if err := p.lane(e.Subject).publish(ctx, p.kindOf(e), e); err != nil {
			return err
		}
	}
	p.runEvent(ctx, RunEvent{
		TaskID: settlement.TaskID, Kind: settlement.Kind, Event: EventOutcome, Worker: p.options.Worker,
		Status: settlement.Status, Stage: settlement.Stage, Reason: settlement.Reason,
		Message: settlement.Message, Image: settlement.Image, Attempt: settlement.Attempt,
		traceparent: settlement.Header[HeaderTraceparent],
	})
	return nil
}

// kindOf keeps the metrics' label closed.
func (p *Publisher) kindOf(e worker.Event) string { return e.Subject[len(p.options.Subjects.prefix):] }

// EndLog publishes the end of the build log: through its stream, once, or plain
// where no stream keeps it.
func (p *Publisher) EndLog(ctx context.Context, settlement worker.Settlement) error {
	if settlement.LogEnd == nil {
		return nil
	}
	e := *settlement.LogEnd
	if p.options.Stream == "" {
		return p.endPlain(ctx, e)
	}
	keeper, err := p.endKeeper(ctx, e.Subject)
	if errors.Is(err, errUncovered) {
		return p.endPlain(ctx, e)
	}
	if err != nil {
		return err
	}
	// Only this task's and its namesakes' ends stand on the subject, so the first
	// guess is that there are none.
	l := &lane{publisher: p, subject: e.Subject, keeper: keeper, opened: true}
	l.passed.reset(0)
	err = l.publish(ctx, "build.log.end", e)
	if err != nil && p.uncovered(ctx, e.Subject) {
		p.bound.forgetEnds()
		return p.endPlain(ctx, e)
	}
	return err
}

// endPlain publishes without an answer, and returns when the server has it.
func (p *Publisher) endPlain(ctx context.Context, e worker.Event) error {
	msg := message(e)
	msg.Header.Set(nats.MsgIdHdr, e.Key)
	if err := p.nc.PublishMsg(msg); err != nil {
		return fmt.Errorf("publish %s: %w", e.Subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	return p.nc.FlushWithContext(ctx)
}
