package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// untilEnded is a handler that works until its context ends.
func untilEnded(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
	<-ctx.Done()
	return tasks.Result{}, ctx.Err()
}

func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func TestWhoLosesItsLeaseStopsAndUsesNoVerb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := &fakeDelivery{task: deployTask("a")}
		h := func(ctx context.Context, task tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease = worker.ErrLeaseLost })
			return untilEnded(ctx, task, at, rep)
		}
		got := run(t, w, h, nil, d)
		want(t, got, "IN_PROGRESS a", "save a")
		if d.extends != 0 {
			t.Errorf("the delivery was extended %d times after the lease was lost", d.extends)
		}
	})
}

func TestASideEffectWaitsWhileNobodyKnowsWhoseTheTaskIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		away := errors.New("NATS is away")
		h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease = away })
			time.AfterFunc(time.Minute, func() { w.set(func(w *world) { w.lease = nil }) })
			began := time.Now()
			err := at.Guard.Ask(ctx)
			if waited := time.Since(began); err != nil || waited < time.Minute {
				t.Errorf("the guard answered %v after %s, want nil once NATS is back", err, waited)
			}
			return tasks.Result{}, err
		}
		run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		if got := w.terminal["a"]; !got.Succeeded() {
			t.Errorf("terminal record = %+v, want success", got)
		}
	})
}

func TestALeaseThatEndedMeanwhileIsTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		fence := uint64(0)
		h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease = worker.ErrLeaseGone })
			defer w.set(func(w *world) { w.lease = nil })
			err := at.Guard.Ask(ctx)
			w.set(func(w *world) { fence = w.runs["a"].Fence })
			return tasks.Result{}, err
		}
		got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, append([]string{"IN_PROGRESS a", "save a", "retake a", "save a"}, settled...)...)
		if fence != 8 {
			t.Errorf("the run's fence is %d, want that of the lease that was taken again, 8: who had it before may claim the run", fence)
		}
	})
}

func TestALeaseIsNotTakenAgainOnceTheRunWasClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease, w.runs["a"].Claims = worker.ErrLeaseGone, 2 })
			err := at.Guard.Ask(ctx)
			if !errors.Is(err, tasks.ErrLeaseLost) {
				t.Errorf("the guard answered %v, want that the lease is lost", err)
			}
			return tasks.Result{}, err
		}
		want(t, run(t, w, h, nil, &fakeDelivery{task: deployTask("a")}), "IN_PROGRESS a", "save a")
	})
}

func TestALeaseIsGivenBackWhereTheRunWasClaimedWhileItWasTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.beforeRetake = func(w *world) { w.lease, w.runs["a"].Claims = nil, 2 }
		h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease = worker.ErrLeaseGone })
			err := at.Guard.Ask(ctx)
			if !errors.Is(err, tasks.ErrLeaseLost) {
				t.Errorf("the guard answered %v, want that the lease is lost", err)
			}
			return tasks.Result{}, err
		}
		want(t, run(t, w, h, nil, &fakeDelivery{task: deployTask("a")}), "IN_PROGRESS a", "save a", "retake a", "save a", "release a")
	})
}

func TestALeaseThatWasTakenAgainIsOursOnceTheClaimIsKnownToHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		asked := 0
		w.beforeRetake = func(w *world) { w.lease, w.fail["save a"] = nil, 2 }
		h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease = worker.ErrLeaseGone })
			err := at.Guard.Ask(ctx)
			w.set(func(w *world) { asked = 2 - w.fail["save a"] })
			return tasks.Result{}, err
		}
		got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, append([]string{"IN_PROGRESS a", "save a", "retake a", "save a fails", "save a fails", "save a"}, settled...)...)
		if w.heldValid {
			t.Error("log lines may go out before the claim is known to hold")
		}
		if asked != 2 {
			t.Errorf("the guard let the side effect pass after %d failed writes of the claim, want both repeated", asked)
		}
	})
}

func TestTheSweeperLeavesARunWhoseLeaseItHasLostSince(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed}}
	w.lease = worker.ErrLeaseLost
	sweeper := w.pool(t, succeed, nil).Sweeper(&orphans{world: w, lead: true, now: map[string]worker.Sighting{"a": {Revision: 1}}})
	if err := sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sweeper.Sweep(t.Context()); !errors.Is(err, worker.ErrLeaseLost) {
		t.Errorf("the sweep returned %v, want that its lease was lost", err)
	}
	want(t, w.seen(), "adopt a", "release a")
	if got := w.runs["a"].Claims; got != 1 {
		t.Errorf("the run was claimed %d times: its worker may be at work", got)
	}
}

func TestTheSweeperEndsWhatItCanReadBesideWhatItCannot(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed}}
	home := &orphans{world: w, lead: true, now: map[string]worker.Sighting{"a": {Revision: 1}}, unreadable: errFake}
	sweeper := w.pool(t, succeed, nil).Sweeper(home)
	for range 2 {
		if err := sweeper.Sweep(t.Context()); !errors.Is(err, errFake) {
			t.Errorf("the sweep returned %v, want what it could not read", err)
		}
	}
	if _, ended := w.terminal["a"]; !ended {
		t.Error("a was not ended, because another record cannot be read")
	}
}

func TestATaskOfNoQueueThatLostItsLeaseEndsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(ctx context.Context, task tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease = worker.ErrLeaseLost })
			return untilEnded(ctx, task, at, rep)
		}
		run(t, w, h, nil, &fakeDelivery{task: deployTask("a"), once: true})
		if got := w.terminal["a"]; got.Reason != tasks.ReasonWorkerLost {
			t.Errorf("terminal record = %+v, want worker_lost: nobody else will ever end it", got)
		}
	})
}

func TestABlockedTaskIsHandedBackWithoutAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := &worker.BlockedError{Target: "web", By: "other", After: time.Minute}
		got := run(t, newWorld(), succeed, nil, &fakeDelivery{task: deployTask("a"), blocked: blocked})
		want(t, got, "a waits for other", "hand back a later")
	})
}

func TestNothingIsAskedAboutATaskThatComesIntoACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.cancelled["a"] = true
		crowd := &worker.BlockedError{Target: "web", By: "other", After: time.Minute}
		got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a"), crowd: crowd})
		want(t, got, "hand back a later")
	})
}

func TestACancelledTaskEndsWhereverItIs(t *testing.T) {
	blocked := &worker.BlockedError{Target: "web", By: "other", After: time.Minute, Fence: 7}
	for name, d := range map[string]*fakeDelivery{
		"its turn": {task: deployTask("a")}, "blocked": {task: deployTask("a"), blocked: blocked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.cancelled["a"] = true
				got := run(t, w, succeed, nil, d)
				if slices.Contains(got, "IN_PROGRESS a") {
					t.Errorf("IN_PROGRESS was said of a task that never started: %q", got)
				}
				if w.fence != 7 {
					t.Errorf("it was claimed under the fence %d, want 7: that of its lease, or of the one for which it waits", w.fence)
				}
				if got := w.terminal["a"]; got.Reason != tasks.ReasonCancelled {
					t.Errorf("terminal record = %+v, want cancelled", got)
				}
			})
		})
	}
}

func TestARunningTaskIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var pool *worker.Pool
		h := func(ctx context.Context, task tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			if !pool.Cancel("a") || pool.Cancel("b") {
				t.Error("cancel must find the task that runs here, and no other")
			}
			return untilEnded(ctx, task, at, rep)
		}
		w.add(&fakeDelivery{task: deployTask("a")})
		w.close()
		pool = w.pool(t, h, nil)
		pool.Run(t.Context())
		if got := w.terminal["a"]; got.Reason != tasks.ReasonCancelled || got.Class != tasks.ClassCancelled {
			t.Errorf("terminal record = %+v, want cancelled", got)
		}
	})
}

func TestACancelThatCameWhileNATSWasAwayIsHeardAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var pool *worker.Pool
		h := func(ctx context.Context, task tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			// The servers are there and have no leader yet.
			w.set(func(w *world) { w.cancelled["a"], w.fail["cancelled"] = true, 2 })
			pool.LookForCancels(ctx)
			return untilEnded(ctx, task, at, rep)
		}
		w.add(&fakeDelivery{task: deployTask("a")})
		w.close()
		pool = w.pool(t, h, nil)
		pool.Run(t.Context())
		if got := w.terminal["a"]; got.Reason != tasks.ReasonCancelled {
			t.Errorf("terminal record = %+v, want cancelled", got)
		}
	})
}

func TestADeploymentBehindWhichANewerOneWaitsIsSuperseded(t *testing.T) {
	registered := worker.Run{Claims: 1, Attempts: 1, HandedBack: 1, Announced: true, Reached: tasks.Checkpoint{Registration: &tasks.Registration{JobID: "web"}}}
	for name, c := range map[string]struct {
		chosen string
		run    *worker.Run
		want   tasks.Reason
	}{
		"where the operator chose that":       {"web", nil, tasks.ReasonSuperseded},
		"not for another job":                 {"api", nil, ""},
		"not once Nomad has the job":          {"web", &registered, ""},
		"also after an attempt that ended so": {"web", &worker.Run{Claims: 1, Attempts: 1, HandedBack: 1, Announced: true}, tasks.ReasonSuperseded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				if c.run != nil {
					w.runs["a"] = c.run
				}
				run(t, w, succeed, func(o *worker.Options) {
					o.Supersede = func(job string) bool { return job == c.chosen }
				}, &fakeDelivery{task: deployTask("a"), newer: "b"})
				if got := w.terminal["a"]; got.Reason != c.want || (c.want != "" && !strings.Contains(got.Message, "deployment b of job web")) {
					t.Errorf("terminal record = %+v, want the reason %q", got, c.want)
				}
			})
		})
	}
}

func TestInProgressNeverFollowsTheEndOfATaskThatSomebodyElseBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1}
		w.cancelled["a"] = true
		got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
		if first := slices.Index(got, "IN_PROGRESS a"); first < 0 || first > slices.Index(got, "announce a failed") {
			t.Errorf("done: %q, want IN_PROGRESS first: the worker that claimed the task before may be about to say it", got)
		}
	})
}

func TestARunOfAnotherWorkerIsLeftAloneAfterAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Worker: "other"}
		back := time.Now()
		time.Sleep(20 * time.Second) // the bubble's clock
		change := func(o *worker.Options) { o.Reconnected = func() time.Time { return back } }
		w.add(&fakeDelivery{task: deployTask("a")})
		w.close()
		w.pool(t, succeed, change).Run(t.Context())
		want(t, w.seen(), "release a", "hand back a later")
	})
}

func TestWhatIsReachedIsKeptForTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var from []tasks.Checkpoint
		h := func(ctx context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			from = append(from, at.From)
			if err := at.Keep(ctx, tasks.Checkpoint{Commit: "c1"}); err != nil {
				return tasks.Result{}, err
			}
			return tasks.Result{}, tasks.Fail(tasks.ReasonNomadDown, "", nil)
		}
		run(t, w, h, func(o *worker.Options) { o.MaxAttempts = 2 }, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("a")})
		if len(from) != 2 || from[0].Commit != "" || from[1].Commit != "c1" {
			t.Errorf("the attempts began from %+v, want the second to know what the first has reached", from)
		}
	})
}

// What keeps a task from beginning can last for hours: it is said, and not at each
// delivery.
func TestATaskThatCannotBeginSaysWhy(t *testing.T) {
	for delivery, wanted := range map[int][]string{
		1:  {"release a", "a cannot begin", "hand back a later"},
		3:  {"release a", "hand back a later"},
		16: {"release a", "a cannot begin", "hand back a later"},
	} {
		t.Run(fmt.Sprint("delivery ", delivery), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.claims = errFake
				want(t, run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a"), number: delivery}), wanted...)
			})
		})
	}
}

// orphans is an orphanage whose answers the test gives.
type orphans struct {
	world *world
	lead  bool
	now   map[string]worker.Sighting
	// away is what a look and Adopt return, unreadable what a look returns beside
	// what it has found.
	away, adopt, unreadable error
}

func (o *orphans) Lead(context.Context) (bool, error) { return o.lead, nil }
func (o *orphans) Orphans(context.Context) (map[string]worker.Sighting, error) {
	if o.away != nil {
		return nil, o.away
	}
	return o.now, o.unreadable
}

func (o *orphans) Adopt(_ context.Context, id string, _ uint64) (worker.Lease, error) {
	if o.adopt != nil {
		return nil, o.adopt
	}
	return &fakeLease{world: o.world, id: id}, o.world.did("adopt %s", id)
}

func TestARunThatNobodyWillEndIsEndedByTheSweeper(t *testing.T) {
	t.Parallel()
	will := &worker.Settlement{TaskID: "a", Status: worker.StatusFailed, Reason: tasks.ReasonWorkerLost}
	outcome := &worker.Settlement{TaskID: "a", Status: worker.StatusSucceeded}
	for name, c := range map[string]struct {
		run  worker.Run
		lead bool
		now  []map[string]worker.Sighting
		want []string
	}{
		"by its will": {
			worker.Run{Claims: 1, Attempts: 1, Will: will},
			true,
			[]map[string]worker.Sighting{{"a": {Revision: 1}}, {"a": {Revision: 1}}},
			[]string{"adopt a", "record outcome a", "terminal a", "announce a failed", "end log a", "delete run a", "release a"},
		},
		"by its outcome": {
			worker.Run{Claims: 1, Attempts: 1, Will: will, Outcome: outcome},
			true,
			[]map[string]worker.Sighting{{"a": {Revision: 1}}, {"a": {Revision: 1}}},
			[]string{"adopt a", "record outcome a", "terminal a", "announce a succeeded", "end log a", "delete run a", "release a"},
		},
		"not at the first look":        {worker.Run{Claims: 1, Will: will}, true, []map[string]worker.Sighting{{"a": {Revision: 1}}}, nil},
		"not where it was there again": {worker.Run{Claims: 1, Will: will}, true, []map[string]worker.Sighting{{"a": {Revision: 1}}, {}, {"a": {Revision: 1}}}, nil},
		"not where somebody wrote it":  {worker.Run{Claims: 2, Will: will}, true, []map[string]worker.Sighting{{"a": {Revision: 1}}, {"a": {Revision: 2}}}, nil},
		"not while its sign stands":    {worker.Run{Claims: 1, Will: will}, true, []map[string]worker.Sighting{{"a": {1, 7}}, {"a": {1, 7}}, {"a": {1, 7}}}, nil},
		"not at the first without it":  {worker.Run{Claims: 1, Will: will}, true, []map[string]worker.Sighting{{"a": {1, 7}}, {"a": {1, 0}}}, nil},
		"not where one has come back":  {worker.Run{Claims: 1, Will: will}, true, []map[string]worker.Sighting{{"a": {1, 0}}, {"a": {1, 9}}}, nil},
		"once its sign has gone": {
			worker.Run{Claims: 1, Attempts: 1, Will: will},
			true,
			[]map[string]worker.Sighting{{"a": {1, 7}}, {"a": {1, 0}}, {"a": {1, 0}}},
			[]string{"adopt a", "record outcome a", "terminal a", "announce a failed", "end log a", "delete run a", "release a"},
		},
		"not by two at once": {worker.Run{Claims: 1, Will: will}, false, []map[string]worker.Sighting{{"a": {Revision: 1}}, {"a": {Revision: 1}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.runs["a"] = &c.run
			home := &orphans{world: w, lead: c.lead}
			sweeper := w.pool(t, succeed, nil).Sweeper(home)
			for _, now := range c.now {
				home.now = now
				if err := sweeper.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			want(t, w.seen(), c.want...)
		})
	}
}

func TestALookThatFailedBeginsTheSweepAnew(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs["a"] = &worker.Run{Claims: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed}}
	home := &orphans{world: w, lead: true, now: map[string]worker.Sighting{"a": {Revision: 1}}}
	sweeper := w.pool(t, succeed, nil).Sweeper(home)
	for i, away := range []error{nil, errFake, nil} {
		home.away = away
		if err := sweeper.Sweep(t.Context()); !errors.Is(err, away) {
			t.Fatalf("look %d: %v, want %v", i, err, away)
		}
	}
	if got := w.seen(); len(got) != 0 {
		t.Errorf("got %q: whoever has the run may not have been able to say so either", got)
	}
}

func TestNothingIsSweptInTheGraceAfterAReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs["a"] = &worker.Run{Claims: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed}}
	back := time.Now()
	pool := w.pool(t, succeed, func(o *worker.Options) { o.Reconnected = func() time.Time { return back } })
	sweeper := pool.Sweeper(&orphans{world: w, lead: true, now: map[string]worker.Sighting{"a": {Revision: 1}}})
	sweep := func() {
		if err := sweeper.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	sweep()
	back = back.Add(-time.Hour)
	sweep()
	if got := w.seen(); len(got) != 0 {
		t.Errorf("got %q: what was seen in the grace must not count", got)
	}
	sweep()
	if _, ended := w.terminal["a"]; !ended {
		t.Error("the run is not ended after the grace")
	}
}

func TestARunWhoseWorkerHasComeBackIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, back := range []error{worker.ErrHeld, worker.ErrNoRun} {
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Will: &worker.Settlement{TaskID: "a", Status: worker.StatusFailed}}
		home := &orphans{world: w, lead: true, now: map[string]worker.Sighting{"a": {Revision: 1}}, adopt: back}
		sweeper := w.pool(t, succeed, nil).Sweeper(home)
		for range 2 {
			if err := sweeper.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.seen(); len(got) != 0 {
			t.Errorf("%v: got %q, want nothing", back, got)
		}
	}
}

func TestWhoLosesItsLeaseAtTheVeryEndDoesNotWaitForItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.flushHangs = true
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.lease, w.runs["a"].Claims = worker.ErrLeaseLost, 2 })
			return tasks.Result{}, nil
		}
		got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, "IN_PROGRESS a", "save a", "flush", "record outcome a")
	})
}
