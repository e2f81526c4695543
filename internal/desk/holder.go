package desk

import (
	"context"
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// toldWithin is how long a worker may be about telling of an end before that is
// worth a word.
const toldWithin = 5 * time.Second

// running says what the holder of a lease is about. Of the task's message nothing is
// known where it is not at hand.
func (d *Desk) running(ctx context.Context, s *snapshot, g grant, of head, isQueued bool) (Why, error) {
	if why, err := d.holdsEnded(ctx, s, g); why.State != "" || err != nil {
		return why, err
	}
	if g.Sweeper {
		return Why{State: StateEnding, Worker: g.Worker, Text: "is being ended by worker " + g.Worker + ": its worker was lost"}, nil
	}
	why := Why{State: StateRunning, Worker: g.Worker, Text: "runs on worker " + g.Worker}
	stage, err := d.lastEvent(ctx, g.TaskID, events.EventStage)
	if err != nil {
		return why, err
	}
	if stage != nil {
		why.Stage = stage.Stage
		why.Text += ", stage " + string(stage.Stage)
	} else {
		why.Text += "; no stage has begun"
	}
	why.Text += d.signOfLife(s, g, of, isQueued)
	if missing := s.missing(of.kind); missing != "" {
		why.Cause = CauseNoStream
		why.Text += "; no stream covers " + missing + ": nothing can be told of it"
	}
	return why, nil
}

// signOfLife is what there is to say of the holder's; empty where that is young. A
// sign and a lease outlive a killed worker by up to 25 s.
func (d *Desk) signOfLife(s *snapshot, g grant, of head, isQueued bool) string {
	w := find(s.live, g.Worker)
	if w == nil {
		return "; the worker gives no sign of life: if it is dead, the task " + s.afterDeath(of, isQueued)
	}
	beat := d.topology.Pace.Beat()
	if old := s.taken.Sub(w.Seen); old > beat+beat/2 {
		return fmt.Sprintf("; its last sign of life is %d s old", int(old.Seconds()))
	}
	return ""
}

// holdsEnded says of a task whose lease stands what became of it, where its end is
// recorded already; nothing where it is not. The run is deleted after the record is
// written and told of, and before the lease is given up.
func (d *Desk) holdsEnded(ctx context.Context, s *snapshot, g grant) (Why, error) {
	settlement, at, err := d.ended(ctx, g.TaskID)
	if settlement == nil || err != nil {
		return Why{}, err
	}
	run, err := d.runRecord(ctx, g.TaskID)
	if err != nil {
		return Why{}, err
	}
	if run == nil {
		return Why{State: StateEnded, Text: endedText(*settlement)}, nil
	}
	return whyNotTold(*settlement, teller{g.Worker, s.lives(g.Worker)}, s.taken.Sub(*at), s.uncovered), nil
}

// teller is the worker that has an end to tell.
type teller struct {
	id    string
	lives bool
}

// whyNotTold says of a task whose end was recorded some time ago, and whose run is
// open all the same, whether its worker can tell of it. At first that is nothing to
// speak of.
func whyNotTold(s worker.Settlement, by teller, ago time.Duration, uncovered func(tasks.Kind) string) Why {
	why := Why{State: StateEnded, Text: endedText(s)}
	if missing := uncovered(s.Kind); missing != "" {
		why.State, why.Cause = StateEnding, CauseNoStream
		why.Text += "; that cannot be told: no stream covers " + missing
		return why
	}
	if ago > toldWithin {
		why.State, why.Worker = StateEnding, by.id
		why.Text += "; that is recorded, and not told yet by worker " + by.id
		if !by.lives {
			why.Text += ", which gives no sign of life"
		}
	}
	return why
}

func endedText(s worker.Settlement) string {
	if s.Succeeded() {
		return "has ended: succeeded"
	}
	return fmt.Sprintf("has ended: failed (%s)", s.Reason)
}

// afterDeath says what comes of a task whose worker is lost: one of the queue goes
// to another worker, one that has no message is ended by any.
func (s *snapshot) afterDeath(of head, isQueued bool) string {
	what, living := "is delivered again", s.capacity().Workers > 0
	if !isQueued {
		what, living = "is ended by the sweeper", len(s.live) > 0
	}
	_, stopped := s.consumer.stops(of.subject)
	switch {
	case !living:
		return what + " once a worker lives: start `dispatchd run`"
	case !isQueued:
		return what + " within a minute"
	case stopped != "":
		return what + " once the queue delivers: " + stopped
	default:
		return what + " within a minute" + s.noSlot()
	}
}
