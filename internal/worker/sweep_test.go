package worker_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// A lease that is not renewed between two looks would be anybody's, and each new
// sweeper would begin with its first look again.
func TestTheSweeperLooksMoreOftenThanItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat, lease = 8 * time.Second, 25 * time.Second
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed, Reason: tasks.ReasonWorkerLost}}
		began := time.Now()
		home := &timedOrphans{orphans: orphans{world: w, now: map[string]worker.Sighting{"a": {Revision: 1}}}, lease: lease}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var running sync.WaitGroup
		sweeper := w.pool(t, succeed, nil).Sweeper(home)
		running.Go(func() { sweeper.Run(ctx, beat) })
		time.Sleep(beat + time.Second)
		synctest.Wait()
		if got := w.seen(); len(got) != 0 {
			t.Errorf("after %s: %v, want nothing before a worker would have given a sign of life", time.Since(began), got)
		}
		time.Sleep(beat)
		synctest.Wait()
		if _, ended := w.terminal["a"]; !ended || home.lapsed {
			t.Errorf("after %s: ended %v, the sweeper's lease has lapsed %v; want the end, under one lease", time.Since(began), ended, home.lapsed)
		}
		cancel()
		running.Wait()
	})
}

// A killed run-once is ended soon after its lease, not one and a half beats later.
func TestASilenceCountsFromTheLastSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat, lease = 8 * time.Second, 25 * time.Second
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed, Reason: tasks.ReasonWorkerLost}}
		home := &timedOrphans{orphans: orphans{world: w, now: map[string]worker.Sighting{"a": {Revision: 1, Sign: 7}}}, lease: lease, gone: time.Now().Add(lease)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var running sync.WaitGroup
		sweeper := w.pool(t, succeed, nil).Sweeper(home)
		running.Go(func() { sweeper.Run(ctx, beat) })
		time.Sleep(lease - time.Nanosecond)
		synctest.Wait()
		if got := w.seen(); len(got) != 0 {
			t.Errorf("while the lease stands: %v, want nothing", got)
		}
		time.Sleep(beat / 2)
		synctest.Wait()
		if _, ended := w.terminal["a"]; !ended {
			t.Error("the run is not ended at the first look after its lease")
		}
		cancel()
		running.Wait()
	})
}

// timedOrphans notices where the sweeper's lease would have ended between two looks.
type timedOrphans struct {
	orphans

	lease  time.Duration
	last   time.Time
	lapsed bool
	// gone is when the runs' signs end; never where it is zero.
	gone time.Time
}

func (o *timedOrphans) Orphans(ctx context.Context) (map[string]worker.Sighting, error) {
	seen, err := o.orphans.Orphans(ctx)
	seen = maps.Clone(seen)
	for id, sighting := range seen {
		if !o.gone.IsZero() && !time.Now().Before(o.gone) {
			sighting.Sign = 0
		}
		seen[id] = sighting
	}
	return seen, err
}

func (o *timedOrphans) Lead(context.Context) (bool, error) {
	o.lapsed = o.lapsed || (!o.last.IsZero() && time.Since(o.last) >= o.lease)
	o.last = time.Now()
	return true, nil
}
