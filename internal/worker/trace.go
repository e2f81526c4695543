package worker

import (
	"cmp"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/traces"
)

// trace is where one delivery stands in its trace.
type trace struct {
	// id is the publisher's trace, or one made from the task's id.
	id traces.TraceID
	// parent is the publisher's place; invalid where it named none.
	parent traces.Traceparent
	// span is the attempt's; nil where nobody records it.
	span *traces.Span
}

// trace begins the attempt's span below the publisher's.
func (p *Pool) trace(a *attempt) trace {
	message := a.delivery.Message()
	parent, ok := traces.Parse(message.Traceparent)
	t := trace{id: parent.TraceID, parent: parent}
	if !ok {
		t.id = traces.TraceIDOf(cmp.Or(a.task.ID, message.Subject))
	}
	t.span = p.options.Tracer.Begin(parent, traces.Start{
		Name: kindLabel(a.task.Kind), TraceID: t.id, At: a.started, Hide: a.redactor.String,
		Attributes: []traces.Attribute{
			traces.String("dispatchd.task_id", a.task.ID), traces.String("dispatchd.task", kindLabel(a.task.Kind)),
			traces.Int("dispatchd.delivery", message.Deliveries),
		},
	})
	if !message.Queued.IsZero() {
		t.span.Set(traces.Seconds("dispatchd.since_queued", max(0, time.Since(message.Queued))))
	}
	return t
}

// header is the traceparent of everything that is said of the task: our span
// where it is recorded, else the publisher's own, else nothing.
func (t trace) header() string {
	if place := t.span.Traceparent(); place.Valid() {
		return place.String()
	}
	return t.parent.String()
}

// failSpan marks a span with what the failure table says of an error.
func failSpan(span *traces.Span, failure *tasks.Failure) {
	row := failure.Row()
	span.Fail(failure.Message,
		traces.String("error.type", string(row.Reason)),
		traces.String("dispatchd.class", string(row.Class)), traces.String("dispatchd.fault", string(row.Fault)))
}

// outcome notes what became of the delivery: a status, or the label that the
// metrics count it under.
func (t trace) outcome(label string) { t.span.Set(traces.String("dispatchd.outcome", label)) }
