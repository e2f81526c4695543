package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// State is where a task is.
type State string

// The states of a task. The first four are of tasks that have not ended.
const (
	StateRunning  State = "running"
	StateRunnable State = "runnable"
	StateBlocked  State = "blocked"
	StateRetry    State = "retry"
	// StateEnding is a task whose outcome is recorded and not yet said in full.
	StateEnding     State = "ending"
	StateEnded      State = "ended"
	StateDeadLetter State = "dead_letter"
	StateUnknown    State = "unknown"
)

// Cause is why a task does not go on, in one word.
type Cause string

// The causes.
const (
	// CauseBehind: another task of the same job goes first.
	CauseBehind Cause = "behind"
	// CauseNoWorker: no worker of the service lives.
	CauseNoWorker Cause = "no_worker"
	// CauseNoFreeSlot: every slot has a task, or its worker is draining.
	CauseNoFreeSlot Cause = "no_free_slot"
	// CauseNoConsumer: the queue's consumer is not there, so that nothing is delivered.
	CauseNoConsumer Cause = "no_consumer"
	// CausePaused: somebody has paused the queue's consumer.
	CausePaused Cause = "paused"
	// CauseFiltered: somebody has given the queue's consumer a filter that leaves it out.
	CauseFiltered Cause = "filtered"
	// CauseDelivering: a slot is free and takes it now.
	CauseDelivering Cause = "delivering"
	// CauseRedelivery: it was handed back while it was not its turn, and comes again.
	CauseRedelivery Cause = "redelivery"
	// CauseCannotBegin: NATS, or one of its streams, refused what the task needs to
	// begin; Message says what.
	CauseCannotBegin Cause = "cannot_begin"
	// CauseHandedBack: an attempt has failed, or its worker was stopped; Until says when the next begins.
	CauseHandedBack Cause = "handed_back"
	// CauseNoStream: no stream keeps the backend's events, so that nothing could be
	// told of the task.
	CauseNoStream Cause = "no_stream"
	// CauseWorkerLost: its worker has died or lost it, and it is delivered again.
	CauseWorkerLost Cause = "worker_lost"
)

// Why says in what state a task is and why.
type Why struct {
	State State `json:"state"`
	Cause Cause `json:"cause,omitempty"`
	// Text is the same as one sentence.
	Text string `json:"text"`
	// Behind is the task that goes first.
	Behind string `json:"behind,omitempty"`
	// Worker and Stage are of the task that runs: this one, or the one in front.
	Worker string      `json:"worker,omitempty"`
	Stage  tasks.Stage `json:"stage,omitempty"`
	// Until is when a task that was handed back comes again, Reason and Message why.
	Until   *time.Time   `json:"until,omitempty"`
	Reason  tasks.Reason `json:"reason,omitempty"`
	Message string       `json:"message,omitempty"`
}

// place is one message of the queue and the line that it stands in.
type place struct {
	line *line
	// first is the job's oldest message, own is ours.
	first, own head
}

// headOf is the message of one of the place's two tasks; nothing for any other.
func (p place) headOf(id string) head {
	switch id {
	case p.own.id:
		return p.own
	case p.first.id:
		return p.first
	default:
		return head{}
	}
}

// head is what a message says of its task without its body; id and kind are empty
// where the subject has not the form of a task's.
type head struct {
	subject  string
	sequence uint64
	id       string
	kind     tasks.Kind
}

// why says why the task of a message is where it is.
func (d *Desk) why(ctx context.Context, s *snapshot, p place) (Why, error) {
	switch l := p.line; {
	case l.holder != nil && l.holder.TaskID == p.own.id:
		return d.running(ctx, s, *l.holder, p.own, true)
	case l.holder != nil:
		front, err := l.inFront(func() (Why, error) { return d.holder(ctx, s, *l.holder, p.headOf(l.holder.TaskID)) })
		return behindHolder(l.holder.TaskID, front), err
	case p.first != p.own && p.first.id != "":
		return d.behindFirst(ctx, s, p)
	case p.own.id != "" && s.runs[p.own.id]:
		why, err := d.retry(ctx, s, p.own)
		return s.untold(why, p.own), err
	default:
		why, err := d.begins(ctx, s, p.own)
		return s.untold(why, p.own), err
	}
}

// untold says of a task that workers could take by now that they don't, where
// nothing could be told of it.
func (s *snapshot) untold(why Why, own head) Why {
	stopped, _ := s.consumer.stops(own.subject)
	if s.capacity().Workers == 0 || why.Cause == CauseNoFreeSlot || why.Cause == CauseBehind || stopped != "" {
		return why
	}
	if missing := s.missing(own.kind); missing != "" {
		why.Cause, why.Text = CauseNoStream, "no stream covers "+missing+": it is not carried out before the backend's stream is there again"
	}
	return why
}

// missing names the subjects of a kind of task that no stream covers; empty where
// all are covered, and where the kind is not known.
func (s *snapshot) missing(kind tasks.Kind) string {
	if kind == "" {
		return ""
	}
	return s.uncovered(kind)
}

// holder says what a task is about that others wait for.
func (d *Desk) holder(ctx context.Context, s *snapshot, g grant, of head) (Why, error) {
	return d.running(ctx, s, g, of, g.Sequence > 0)
}

func behindHolder(id string, front Why) Why {
	return Why{
		State: StateBlocked, Cause: CauseBehind, Behind: id, Worker: front.Worker, Stage: front.Stage,
		Text: fmt.Sprintf("behind task %s of the same job, which %s", id, front.Text),
	}
}

func (d *Desk) behindFirst(ctx context.Context, s *snapshot, p place) (Why, error) {
	front, err := p.line.inFront(func() (Why, error) { return d.why(ctx, s, place{line: p.line, first: p.first, own: p.first}) })
	return Why{
		State: StateBlocked, Cause: CauseBehind, Behind: p.first.id, Until: front.Until, Reason: front.Reason, Message: front.Message,
		Text: fmt.Sprintf("behind task %s of the same job, which waits too: %s", p.first.id, front.sentence()),
	}, err
}

// sentence is the text where it does not stand behind its task's name: some texts
// go on from there with a verb.
func (w Why) sentence() string {
	switch w.Cause {
	case CauseHandedBack, CauseWorkerLost, CauseDelivering, CauseCannotBegin:
		return "it " + w.Text
	default:
		return w.Text
	}
}

// waiting says what the first task of a job waits for.
func (s *snapshot) waiting(own head) Why {
	why := Why{State: StateRunnable}
	room := s.capacity()
	stopped, text := s.consumer.stops(own.subject)
	switch {
	case room.Workers == 0:
		why.Cause, why.Text = CauseNoWorker, "no worker lives: start `dispatchd run`"
	case stopped != "":
		why.Cause, why.Text = stopped, text
	case own.sequence <= s.consumer.delivered:
		why.Cause, why.Text = CauseRedelivery, "it was handed back while it was not its turn, and is delivered again within a minute or so"+s.noSlot()
	case room.Free == 0:
		why.Cause, why.Text = CauseNoFreeSlot, "no free slot: "+room.busy()
	default:
		why.Cause, why.Text = CauseDelivering, fmt.Sprintf("is being delivered: %d of %d slots are free", room.Free, room.Slots)
	}
	return why
}

// noSlot is what a text that promises a delivery goes on with where no slot is free
// for it; empty where one is, and where no worker lives, which is said elsewhere.
func (s *snapshot) noSlot() string {
	room := s.capacity()
	if room.Workers == 0 || room.Free > 0 {
		return ""
	}
	return "; no slot is free: " + room.busy()
}

// busy says how none of the slots is free.
func (c Capacity) busy() string {
	if c.Busy < c.Slots {
		return fmt.Sprintf("%d of %d are busy, and the workers of the others drain", c.Busy, c.Slots)
	}
	return fmt.Sprintf("all %d are busy", c.Slots)
}

// storedEvent is a run event and when the server stored it.
type storedEvent struct {
	events.RunEvent
	stored time.Time
}

// lastEvent returns the newest run event of a kind; nil where there is none.
func (d *Desk) lastEvent(ctx context.Context, id, kind string) (*storedEvent, error) {
	m, err := d.leader.last(ctx, d.topology.Events(), d.subjects.Event(id, kind))
	if m == nil || err != nil {
		return nil, err
	}
	return readEvent(m)
}

func readEvent(m *message) (*storedEvent, error) {
	event := &storedEvent{stored: m.Time}
	if err := json.Unmarshal(m.Data, &event.RunEvent); err != nil {
		return nil, fmt.Errorf("read the run event on %s: %w", m.Subject, err)
	}
	return event, nil
}
