package desk

import (
	"context"
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
)

// retry says when a task whose run is open and that nobody has comes again.
func (d *Desk) retry(ctx context.Context, s *snapshot, own head) (Why, error) {
	record, err := d.runRecord(ctx, own.id)
	if err != nil {
		return Why{}, err
	}
	if record == nil {
		return Why{State: StateRetry, Cause: CauseWorkerLost, Text: "moves just now: ask again"}, nil
	}
	refused, err := d.refused(ctx, own.id)
	if err != nil {
		return Why{}, err
	}
	if refused != nil {
		return cannotBegin(StateRetry, *refused, s.noSlot()), nil
	}
	back, err := d.lastEvent(ctx, own.id, events.EventRetry)
	if err != nil {
		return Why{}, err
	}
	run, err := queue.DecodeRun(record.Data)
	switch {
	case err != nil:
		return Why{}, err
	case run.Queue != "" && run.Queue != own.subject:
		return d.behindNamesake(run, own.id), nil
	case back == nil || back.stored.Before(record.Time):
		return s.withoutWord(run, record.Time, own), nil
	}
	why := handedBack(*back)
	why.Text += s.notThen(own, s.taken.After(*why.Until))
	return why, nil
}

// begins says what the first task of a job waits for, of which no run is open.
func (d *Desk) begins(ctx context.Context, s *snapshot, own head) (Why, error) {
	why := s.waiting(own)
	if why.Cause != CauseRedelivery || own.id == "" {
		return why, nil
	}
	refused, err := d.refused(ctx, own.id)
	if refused != nil {
		why = cannotBegin(StateRunnable, *refused, s.noSlot())
	}
	return why, err
}

// refused returns why a worker could not begin a task, where that is the last that
// was said of it. It is said less and less often while it lasts.
func (d *Desk) refused(ctx context.Context, id string) (*storedEvent, error) {
	newest, err := d.lastEvent(ctx, id, "*")
	if err != nil || newest == nil || newest.Event != events.EventWaiting || newest.Behind != "" {
		return nil, err
	}
	return newest, nil
}

// cannotBegin says what a worker was refused, and what keeps the next try.
func cannotBegin(state State, refused storedEvent, hindrance string) Why {
	text := fmt.Sprintf("could not begin when worker %s had it at %s: %s; it is tried again within seconds",
		refused.Worker, refused.stored.UTC().Format(time.DateTime), refused.Message)
	return Why{State: state, Cause: CauseCannotBegin, Worker: refused.Worker, Message: refused.Message, Text: text + hindrance}
}

// behindNamesake says of a message that its id is that of another task, which has
// begun: an id names one request, and the first to begin is it.
func (d *Desk) behindNamesake(run queue.OpenRun, id string) Why {
	_, job, _, _ := d.topology.TaskParts(run.Queue)
	text := fmt.Sprintf("another task with the same id has begun (job %s): this one waits, and becomes a dead letter or a duplicate", job)
	return Why{State: StateBlocked, Cause: CauseBehind, Behind: id, Worker: run.Worker, Text: text}
}

// notThen is what keeps a task from being delivered when its time comes, or has come;
// empty where nothing does. Slots may be free by then.
func (s *snapshot) notThen(own head, isDue bool) string {
	_, stopped := s.consumer.stops(own.subject)
	switch {
	case s.capacity().Workers == 0:
		return "; no worker lives to take it then: start `dispatchd run`"
	case stopped != "":
		return "; " + stopped
	case isDue:
		return s.noSlot()
	default:
		return ""
	}
}

// withoutWord says of a run that nobody has, and of which no event says that it was
// handed back since its record was written, what may have become of it. The record
// is written before that event, and again by the next claim: a newer record says
// that another attempt began, or that the event was lost.
func (s *snapshot) withoutWord(run queue.OpenRun, written time.Time, own head) Why {
	// One that has begun since has but the name of the worker that had the run.
	if w := find(s.live, run.Worker); w != nil && !w.Started.After(written) {
		text := fmt.Sprintf("was handed back by worker %s, which lives: its log says why", run.Worker)
		return Why{State: StateRetry, Cause: CauseHandedBack, Worker: run.Worker, Text: text + s.notThen(own, true)}
	}
	text := fmt.Sprintf("was with worker %s, which has died or lost it; it %s", run.Worker, s.afterDeath(own, true))
	return Why{State: StateRetry, Cause: CauseWorkerLost, Worker: run.Worker, Text: text}
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
