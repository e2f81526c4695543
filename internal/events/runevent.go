package events

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The kinds of run event: the last token of their subject.
const (
	EventWaiting   = "waiting"
	EventStarted   = "started"
	EventStage     = "stage"
	EventRetry     = "retry"
	EventOutcome   = "outcome"
	EventDuplicate = "duplicate"
	EventRequeued  = "requeued"
)

// RunEvent is the richer account of a task for new readers. It informs: a lost
// one changes nothing.
type RunEvent struct {
	TaskID  string     `json:"task_id"`
	Kind    tasks.Kind `json:"task,omitempty"`
	Event   string     `json:"event"`
	Attempt int        `json:"attempt,omitempty"`
	Worker  string     `json:"worker,omitempty"`
	// At is RFC 3339 with milliseconds, by the worker's clock.
	At    string      `json:"at"`
	Stage tasks.Stage `json:"stage,omitempty"`
	// Status, Reason, Message and Image are of an outcome; Reason, Message and DelayMS
	// of a retry. A waiting task has a Message where it cannot begin.
	Status  string       `json:"status,omitempty"`
	Reason  tasks.Reason `json:"reason,omitempty"`
	Message string       `json:"message,omitempty"`
	Image   string       `json:"image,omitempty"`
	DelayMS int64        `json:"delay_ms,omitempty"`
	// Behind is the task for which a waiting one waits; empty where that is none.
	Behind string `json:"behind,omitempty"`
	// RequeuedFrom and RequeuedAs link the two ids of a dead letter that was
	// requeued.
	RequeuedFrom string `json:"requeued_from,omitempty"`
	RequeuedAs   string `json:"requeued_as,omitempty"`

	// traceparent is the message's header; may be empty.
	traceparent string
}

// runEvent publishes without waiting for an answer: our stream has it or not.
func (p *Publisher) runEvent(_ context.Context, e RunEvent) {
	if p.options.Stream == "" {
		return
	}
	e.At = Stamp(time.Now())
	body, err := json.Marshal(e)
	if err != nil {
		return
	}
	msg := nats.NewMsg(p.options.Subjects.Event(e.TaskID, e.Event))
	msg.Data = body
	if e.traceparent != "" {
		msg.Header.Set(HeaderTraceparent, e.traceparent)
	}
	if err := p.nc.PublishMsg(msg); err != nil {
		p.options.Metrics.runEventLost()
	}
}

// Stamp is how a run event writes a time.
func Stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
