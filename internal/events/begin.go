package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Begin is what the record of a new run holds: how far the subjects of its
// events have been read, and what is said where no worker can ever say more.
func (p *Publisher) Begin(ctx context.Context, about worker.Subject) (worker.Run, error) {
	since := map[string]uint64{}
	for _, kind := range kindsOf(about.Task) {
		position, err := p.lane(p.options.Subjects.legacy(kind)).position(ctx)
		if err != nil {
			return worker.Run{}, err
		}
		if position > 0 {
			since[kind] = position
		}
	}
	about.Run.Since = since
	s := &Stream{publisher: p, about: about}
	will := s.Compose(tasks.Outcome{Failure: tasks.Fail(tasks.ReasonWorkerLost, "", nil)})
	if about.Task.Deploy != nil {
		will.Events = append([]worker.Event{s.startedEvent()}, will.Events...)
	}
	return worker.Run{Since: since, Will: &will}, nil
}

// kindsOf lists the kinds of event that a task may send.
func kindsOf(t tasks.Task) []string {
	if t.Destroy != nil {
		return []string{kindDestroyed}
	}
	return []string{kindChanged, kindSucceeded, kindFailed}
}

// Cancelled reports whether somebody has asked for the task's end.
func (p *Publisher) Cancelled(ctx context.Context, id string) (bool, error) {
	if p.options.Stream == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	stream, err := p.recordStream(ctx)
	if err == nil {
		_, err = stream.GetLastMsgForSubject(ctx, p.options.Subjects.Cancel(id))
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s is cancelled: %w", id, err)
	}
	return true, nil
}
