package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
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
	// CauseDelivering: a slot is free and takes it now.
	CauseDelivering Cause = "delivering"
	// CauseRedelivery: it was handed back while it was not its turn, and comes again.
	CauseRedelivery Cause = "redelivery"
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
	sequence   uint64
}

// head is what the subject of a message says of its task; both are empty where it
// has not the form of a task's.
type head struct {
	id   string
	kind tasks.Kind
}

// why says why the task of a message is where it is.
func (d *Desk) why(ctx context.Context, s *snapshot, p place) (Why, error) {
	switch l := p.line; {
	case l.holder != nil && l.holder.TaskID == p.own.id:
		return d.running(ctx, s, *l.holder, true)
	case l.holder != nil:
		return d.behindHolder(ctx, s, *l.holder)
	case p.first != p.own && p.first.id != "":
		return d.behindFirst(ctx, s, p)
	case p.own.id != "" && s.runs[p.own.id]:
		why, err := d.retry(ctx, s, p.own.id)
		return s.untold(why, p.own.kind), err
	default:
		return s.untold(s.waiting(p), p.own.kind), nil
	}
}

// untold says of a task that workers could take by now that they don't, where
// nothing could be told of it.
func (s *snapshot) untold(why Why, kind tasks.Kind) Why {
	if kind == "" || s.capacity().Workers == 0 || why.Cause == CauseNoFreeSlot {
		return why
	}
	if missing := s.uncovered(kind); missing != "" {
		why.Cause, why.Text = CauseNoStream, "no stream covers "+missing+": it is not carried out before the backend's stream is there again"
	}
	return why
}

func (d *Desk) running(ctx context.Context, s *snapshot, g grant, isQueued bool) (Why, error) {
	why := Why{State: StateRunning, Worker: g.Worker, Text: "runs on worker " + g.Worker}
	stage, err := d.lastEvent(ctx, g.TaskID, events.EventStage)
	if err != nil {
		return why, err
	}
	if stage != nil {
		why.Stage = stage.Stage
		why.Text += ", stage " + string(stage.Stage)
	}
	if !s.lives(g.Worker) {
		why.Text += "; the worker gives no sign of life: if it is dead, the task " + s.afterDeath(isQueued)
	}
	return why, nil
}

func (d *Desk) behindHolder(ctx context.Context, s *snapshot, g grant) (Why, error) {
	front, err := d.running(ctx, s, g, g.Sequence > 0)
	return Why{
		State: StateBlocked, Cause: CauseBehind, Behind: g.TaskID, Worker: front.Worker, Stage: front.Stage,
		Text: fmt.Sprintf("behind task %s of the same job, which %s", g.TaskID, front.Text),
	}, err
}

func (d *Desk) behindFirst(ctx context.Context, s *snapshot, p place) (Why, error) {
	front, err := d.why(ctx, s, place{line: p.line, first: p.first, own: p.first})
	text := "which waits too"
	if front.Cause == CauseHandedBack || front.Cause == CauseWorkerLost {
		text += ": it " + front.Text
	} else if front.Cause == CauseNoStream {
		text += ": " + front.Text
	}
	return Why{
		State: StateBlocked, Cause: CauseBehind, Behind: p.first.id, Until: front.Until, Reason: front.Reason, Message: front.Message,
		Text: fmt.Sprintf("behind task %s of the same job, %s", p.first.id, text),
	}, err
}

// waiting says what the first task of a job waits for.
func (s *snapshot) waiting(p place) Why {
	why := Why{State: StateRunnable}
	room := s.capacity()
	switch {
	case room.Workers == 0:
		why.Cause, why.Text = CauseNoWorker, "no worker lives: start `dispatchd run`"
	case p.sequence > 0 && p.sequence <= s.delivered:
		why.Cause, why.Text = CauseRedelivery, "it was handed back while it was not its turn, and is delivered again within a minute or so"
	case room.Free == 0:
		why.Cause, why.Text = CauseNoFreeSlot, fmt.Sprintf("no free slot: all %d are busy", room.Slots)
		if room.Busy < room.Slots {
			why.Text = fmt.Sprintf("no free slot: %d of %d are busy, and the workers of the others drain", room.Busy, room.Slots)
		}
	default:
		why.Cause, why.Text = CauseDelivering, fmt.Sprintf("is being delivered: %d of %d slots are free", room.Free, room.Slots)
	}
	return why
}

// retry says when a task whose run is open and that nobody has comes again.
func (d *Desk) retry(ctx context.Context, s *snapshot, id string) (Why, error) {
	record, err := d.leader.last(ctx, queue.BucketStream(d.topology.Runs()), queue.KeySubject(d.topology.Runs(), id))
	if err != nil {
		return Why{}, err
	}
	back, err := d.lastEvent(ctx, id, events.EventRetry)
	if err != nil || record == nil {
		return Why{State: StateRetry, Cause: CauseWorkerLost, Text: "it moves just now: ask again"}, err
	}
	// The record is written before the event of a task that is handed back, and
	// again by the next claim: a newer record says that another attempt began.
	if back == nil || back.stored.Before(record.Time) {
		run, err := queue.DecodeRun(record.Data)
		text := fmt.Sprintf("was with worker %s, which has died or lost it; it %s", run.Worker, s.afterDeath(true))
		return Why{State: StateRetry, Cause: CauseWorkerLost, Worker: run.Worker, Text: text}, err
	}
	why := handedBack(*back)
	if s.capacity().Workers == 0 {
		why.Text += "; no worker lives to take it then: start `dispatchd run`"
	}
	return why, nil
}

// afterDeath says what comes of a task whose worker is lost: one of the queue goes
// to another worker, one that has no message is ended by any.
func (s *snapshot) afterDeath(isQueued bool) string {
	what, living := "is delivered again", s.capacity().Workers > 0
	if !isQueued {
		what, living = "is ended by the sweeper", len(s.live) > 0
	}
	if !living {
		return what + " once a worker lives: start `dispatchd run`"
	}
	return what + " within a minute"
}

func handedBack(back storedEvent) Why {
	until := back.stored.Add(time.Duration(back.DelayMS) * time.Millisecond).UTC()
	why := Why{State: StateRetry, Cause: CauseHandedBack, Until: &until, Reason: back.Reason, Message: back.Message, Stage: back.Stage}
	why.Text = fmt.Sprintf("was handed back until %s because of %s", until.Format(time.TimeOnly), back.Reason)
	if back.Message != "" {
		why.Text += ": " + back.Message
	}
	return why
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
