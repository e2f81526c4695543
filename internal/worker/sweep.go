package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Orphanage finds open runs that no message will ever bring back: those of a
// killed run-once, and those whose message somebody deleted.
type Orphanage interface {
	// Lead makes this worker one of those that sweep for a while; false where there
	// are enough.
	Lead(ctx context.Context) (bool, error)
	// Orphans looks for the open runs that have no message in the queue. Beside an
	// error they are those that could be read; nil where the look has failed.
	Orphans(ctx context.Context) (map[string]Sighting, error)
	// Adopt takes the leases of a run's targets, but for those that another task
	// has: whoever had them is then refused the next side effect. ErrHeld where
	// somebody has the run again, or has written its record since; ErrNoRun where it
	// has ended.
	Adopt(ctx context.Context, id string, revision uint64) (Lease, error)
}

// Sighting is an open run without a message, as one look has found it.
type Sighting struct {
	// Revision is that of its record.
	Revision uint64
	// Sign is the number of the newest sign of life of whoever has the run, a lease or
	// a run-once that is there for it; 0 where there is none any more.
	Sign uint64
}

// Sweeper ends open runs that nobody else will.
type Sweeper struct {
	orphanage Orphanage
	runs      Runs
	publisher Publisher
	log       *zap.Logger
	// respect reports whether others may be on their way back.
	respect func() bool
	// beat is the time between two signs of life of whoever has a run.
	beat time.Duration
	// seen are the runs of the last look, which ended at looked, with what the looks
	// before it have seen, as far back as none has failed.
	seen   map[string]silence
	looked time.Time
}

// silence is what was seen of a run, and since when nothing new was.
type silence struct {
	Sighting

	// since is when its newest sign was seen first, gone when the first look saw none;
	// zero while there is one.
	since, gone time.Time
}

// next is what is known after another look. Signs have numbers, so that one that
// is there again is a new one.
func (s silence) next(now Sighting, at time.Time) silence {
	if now.Revision != s.Revision || now.Sign > 0 && now.Sign != s.Sign {
		s = silence{since: at}
	}
	s.Sighting = now
	switch {
	case now.Sign > 0:
		s.gone = time.Time{}
	case s.gone.IsZero():
		s.gone = at
	}
	return s
}

// isOver reports whether nobody can have the run any more who reaches NATS. Where
// its signs went after more than two beats without a new one, the server has
// dropped them: a beat later whoever was away for less than a lease has said so.
// Where they went earlier, or were never seen, somebody has deleted them or given
// them back, and whoever has the run is given one look more.
func (s silence) isOver(at time.Time, beat time.Duration) bool {
	patience := beat + beat/4
	if s.gone.Sub(s.since) >= 2*beat+beat/4 {
		patience = beat - beat/8
	}
	return s.Sign == 0 && at.Sub(s.gone) >= patience
}

// Sweeper returns the pool's sweeper. Nothing happens before Run.
func (p *Pool) Sweeper(orphanage Orphanage) *Sweeper {
	return &Sweeper{orphanage: orphanage, runs: p.runs, publisher: p.publisher, log: p.options.Log, respect: p.options.respect}
}

// Run sweeps until ctx ends. Whoever has a run and reaches NATS gives a sign of
// life each beat, and soon again where that fails. Only looks without a failure
// between them count, and none in the grace after a reconnect of ours, in which
// others come back, too.
func (s *Sweeper) Run(ctx context.Context, beat time.Duration) {
	s.beat = beat
	ticker := time.NewTicker(beat / 2)
	defer ticker.Stop()
	var news logging.News
	for {
		if time.Since(s.looked) > beat {
			s.seen = nil // we have stalled ourselves
		}
		err := s.Sweep(ctx)
		if ctx.Err() == nil && news.Is(err) {
			s.log.Warn("look for runs that nobody will end", zap.String("error", err.Error()))
		}
		s.looked = time.Now()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Sweep looks once, and ends the runs that nobody has had for long enough.
func (s *Sweeper) Sweep(ctx context.Context) error {
	before, began := s.seen, time.Now()
	s.seen = nil
	lead, err := s.orphanage.Lead(ctx)
	if err != nil || !lead || s.respect() {
		return err
	}
	orphans, err := s.orphanage.Orphans(ctx)
	if orphans == nil {
		return err
	}
	failed := []error{err}
	s.seen = map[string]silence{}
	for id, now := range orphans {
		last, again := before[id]
		s.seen[id] = last.next(now, time.Now())
		if !again || !s.seen[id].isOver(began, s.beat) {
			continue
		}
		if err := s.end(ctx, id, now.Revision); err != nil {
			failed = append(failed, fmt.Errorf("end the run of %s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// end takes the run like any other worker and says its end.
func (s *Sweeper) end(ctx context.Context, id string, revision uint64) error {
	lease, err := s.orphanage.Adopt(ctx, id, revision)
	if err == nil {
		err = errors.Join(s.finish(ctx, ClaimRequest{TaskID: id, Resume: true, Sweep: revision}, lease), lease.Release(context.WithoutCancel(ctx)))
	}
	if errors.Is(err, ErrNoRun) || errors.Is(err, ErrHeld) {
		return nil
	}
	return err
}

// finish claims the run and says its end: the outcome that stands in it, else
// its will.
func (s *Sweeper) finish(ctx context.Context, request ClaimRequest, lease Lease) error {
	// Where we have stalled since the lease was taken, the run's worker may have it
	// again. It is asked before the claim, which would take the task from that worker:
	// one that takes its lease later writes the record, and the claim is refused. And
	// after it: one that took it in between finds the claim.
	if err := lease.Renew(ctx); err != nil {
		return err
	}
	claim, err := claimUnder(ctx, s.runs, request, lease)
	if err != nil {
		return err
	}
	if err := lease.Renew(ctx); err != nil {
		return err
	}
	settlement, err := lastWord(claim.Run())
	if err != nil {
		return err
	}
	if err := claim.Save(ctx, func(r *Run) { r.Outcome = &settlement }); err != nil {
		return err
	}
	if err := s.say(ctx, settlement); err != nil {
		return err
	}
	s.log.Warn("ended a run that no worker had and no message would bring back",
		zap.String("task_id", request.TaskID), zap.String("task", string(settlement.Kind)),
		zap.String("outcome", settlement.Status), zap.String("reason", string(settlement.Reason)))
	return claim.Delete(ctx)
}

// lastWord is the run's outcome, or its will where it has none.
func lastWord(r Run) (Settlement, error) {
	if r.Outcome != nil {
		return *r.Outcome, nil
	}
	if r.Will == nil {
		return Settlement{}, tasks.Fail(tasks.ReasonInternal, "the run has no will: an older version made it", nil)
	}
	will := *r.Will
	will.Attempt = max(r.Attempts, 1)
	return will, nil
}

func (s *Sweeper) say(ctx context.Context, settlement Settlement) error {
	standing, err := s.publisher.End(ctx, settlement)
	if err != nil {
		return err
	}
	if err := s.publisher.Announce(ctx, standing); err != nil {
		return err
	}
	return s.publisher.EndLog(ctx, standing)
}
