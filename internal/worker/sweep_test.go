package worker_test

import (
	"context"
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

// TestWhenARunIsHeldForLost plays signs of life, of a lease of 24 s, to a sweeper
// that looks every 4 s from second 0 on.
func TestWhenARunIsHeldForLost(t *testing.T) {
	for name, c := range map[string]struct {
		signs []sign
		// failed is when no look succeeds.
		failed [2]int
		// hung is when the sweeper itself does not move.
		hung [2]int
		// want is the second in which the run is ended; 0 where it is not within two
		// minutes.
		want int
	}{
		"killed after a minute of work":               {signs: append(each(8, 0, 56), sign{at: 80, number: 0}), want: 88},
		"killed at once":                              {signs: []sign{{0, 1}, {24, 0}}, want: 32},
		"away for almost a lease, just before a sign": {signs: append([]sign{{0, 1}, {24, 0}}, each(8, 31, 200)...)},
		"back before its lease ends":                  {signs: append([]sign{{0, 1}}, each(8, 23, 200)...)},
		"back after one look has missed it":           {signs: append([]sign{{0, 1}, {24, 0}}, each(8, 25, 200)...)},
		"its signs were deleted, and it is at work":   {signs: append(append(each(8, 0, 32), sign{33, 0}), each(8, 40, 200)...)},
		"its signs were deleted, and it was killed":   {signs: append(each(8, 0, 32), sign{33, 0}), want: 48},
		"never seen alive":                            {signs: []sign{{0, 0}}, want: 12},
		"its lease has ended while no look succeeds":  {signs: []sign{{0, 1}, {24, 0}}, failed: [2]int{15, 27}, want: 40},
		"its lease has ended while the sweeper hung":  {signs: []sign{{0, 1}, {24, 0}}, hung: [2]int{5, 40}, want: 48},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed, Reason: tasks.ReasonWorkerLost}}
				began := time.Now()
				home := &playedOrphans{orphans: orphans{world: w, lead: true}, signs: c.signs, failed: c.failed, hung: c.hung, began: began}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				w.pool(t, succeed, nil).Sweeper(home).Run(ctx, 8*time.Second)
				if _, ended := w.terminal["a"]; home.adopted != c.want || ended != (c.want > 0) {
					t.Errorf("the run is ended (%v) in second %d, want %d (0 is never)", ended, home.adopted, c.want)
				}
			})
		})
	}
}

// sign is what stands from a second on; with the number 0 nothing does.
type sign struct {
	at     int
	number uint64
}

// each is a new sign every so many seconds.
func each(seconds, from, to int) []sign {
	var all []sign
	for at := from; at <= to; at += seconds {
		all = append(all, sign{at, uint64(at + 1)})
	}
	return all
}

// playedOrphans is an orphanage with one run, whose signs come and go.
type playedOrphans struct {
	orphans

	signs        []sign
	failed, hung [2]int
	began        time.Time
	// adopted is the second in which the run was adopted first.
	adopted int
}

func (o *playedOrphans) Orphans(context.Context) (map[string]worker.Sighting, error) {
	second := int(time.Since(o.began).Seconds())
	if o.hung[0] <= second && second < o.hung[1] {
		time.Sleep(time.Duration(o.hung[1]-second) * time.Second)
		second = o.hung[1]
	}
	if o.failed[0] <= second && second < o.failed[1] {
		return nil, errFake
	}
	now := worker.Sighting{Revision: 1}
	for _, s := range o.signs {
		if s.at <= second {
			now.Sign = s.number
		}
	}
	return map[string]worker.Sighting{"a": now}, nil
}

func (o *playedOrphans) Adopt(ctx context.Context, id string, revision uint64) (worker.Lease, error) {
	if o.adopted == 0 {
		o.adopted = int(time.Since(o.began).Seconds())
	}
	return o.orphans.Adopt(ctx, id, revision)
}

// timedOrphans notices where the sweeper's lease would have ended between two looks.
type timedOrphans struct {
	orphans

	lease  time.Duration
	last   time.Time
	lapsed bool
}

func (o *timedOrphans) Lead(context.Context) (bool, error) {
	o.lapsed = o.lapsed || (!o.last.IsZero() && time.Since(o.last) >= o.lease)
	o.last = time.Now()
	return true, nil
}
