package worker_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run works off the given deliveries and returns what was done.
func run(t *testing.T, w *world, h handler, change func(*worker.Options), deliveries ...*fakeDelivery) []string {
	t.Helper()
	for _, d := range deliveries {
		w.add(d)
	}
	w.close()
	w.pool(t, h, change).Run(t.Context())
	return w.seen()
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}

var settled = []string{"flush", "record outcome a", "terminal a", "announce a succeeded", "end log a", "ack a", "delete run a", "release a"}

func TestSuccessIsSettledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := run(t, newWorld(), succeed, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, append([]string{"IN_PROGRESS a", "save a"}, settled...)...)
	})
}

func TestEachStepOfSettleIsRepeatedUntilItSucceeds(t *testing.T) {
	for _, step := range []string{"IN_PROGRESS a", "save a", "record outcome a", "terminal a", "announce a succeeded", "end log a", "ack a", "delete run a"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.fail[step] = 5
				got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
				var clean []string
				failures := 0
				for _, verb := range got {
					if verb == step+" fails" {
						failures++
						continue
					}
					clean = append(clean, verb)
				}
				if failures != 5 {
					t.Errorf("%q failed %d times, want 5", step, failures)
				}
				want(t, clean, append([]string{"IN_PROGRESS a", "save a"}, settled...)...)
			})
		})
	}
}

func TestAPermanentFailureEndsTheTaskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(_ context.Context, _ tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			rep.Stage(tasks.StageClone)
			return tasks.Result{}, tasks.Fail(tasks.ReasonGitRefNotFound, "clone acme/api@main: branch not found", nil)
		}
		run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		got := w.terminal["a"]
		if got.Status != worker.StatusFailed || got.Reason != tasks.ReasonGitRefNotFound || got.Stage != tasks.StageClone ||
			got.Message != "clone acme/api@main: branch not found" {
			t.Errorf("terminal record = %+v", got)
		}
	})
}

func TestATransientFailureIsHandedBackAndFailsAfterThreeAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			return tasks.Result{}, tasks.Fail(tasks.ReasonRegistryDown, "", nil)
		}
		got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("a")})
		want(t, got, "IN_PROGRESS a", "save a",
			"flush", "save a", "retry event", "release a", "hand back a later",
			"flush", "save a", "retry event", "release a", "hand back a later",
			"flush", "record outcome a", "terminal a", "announce a failed", "end log a", "ack a", "delete run a", "release a")
		if got := w.terminal["a"]; got.Reason != tasks.ReasonRegistryDown || got.Attempt != 3 {
			t.Errorf("terminal record = %+v, want registry_unavailable in attempt 3", got)
		}
	})
}

func TestATransientFailureWithoutTimeForAnotherAttemptKeepsItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			return tasks.Result{}, tasks.Fail(tasks.ReasonRegistryDown, "", nil)
		}
		run(t, w, h, func(o *worker.Options) { o.TaskTimeout = 10 * time.Second }, &fakeDelivery{task: deployTask("a")})
		if got := w.terminal["a"]; got.Reason != tasks.ReasonRegistryDown || got.Attempt != 1 {
			t.Errorf("terminal record = %+v, want registry_unavailable in attempt 1", got)
		}
	})
}

func TestTheDeadlineEndsTheTaskAndNamesTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			rep.Stage(tasks.StageBuild)
			<-ctx.Done()
			return tasks.Result{}, errors.New("signal: killed")
		}
		began := time.Now()
		run(t, w, h, func(o *worker.Options) { o.TaskTimeout = 3 * time.Second }, &fakeDelivery{task: deployTask("a")})
		got := w.terminal["a"]
		if got.Reason != tasks.ReasonTimeout || got.Stage != tasks.StageBuild || got.Class != tasks.ClassTimeout {
			t.Errorf("terminal record = %+v, want timeout in build", got)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the task took %s, want 3s", took)
		}
	})
}

func TestHeartbeatsGoOnUntilTheTaskIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			time.Sleep(65 * time.Second) // the bubble's clock
			return tasks.Result{}, nil
		}
		d := &fakeDelivery{task: deployTask("a")}
		run(t, newWorld(), h, nil, d)
		if d.extends != 8 {
			t.Errorf("the delivery was extended %d times in 65 s, want 8", d.extends)
		}
	})
}

// A worker that comes back from an outage has its lease for some moments more, or
// none any more: its next beat may come too late.
func TestAHeartbeatThatFailedIsTriedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := &fakeDelivery{task: deployTask("a")}
		after := func(wait time.Duration) (extends int) {
			time.Sleep(wait)
			w.set(func(*world) { extends, d.extends = d.extends, 0 })
			return extends
		}
		run(t, w, func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			w.set(func(w *world) { w.fail["extend"] = 1 })
			if got := after(20 * time.Second); got < 10 {
				t.Errorf("%d tries in an outage of 20 s, want one each second after the first has failed", got)
			}
			w.set(func(w *world) { w.fail["extend"] = 0 })
			if got := after(1100 * time.Millisecond); got != 1 {
				t.Errorf("%d signs of life within a second after the outage, want one", got)
			}
			if got := after(60 * time.Second); got != 7 {
				t.Errorf("%d signs of life in the next minute, want 7", got)
			}
			return tasks.Result{}, nil
		}, nil, d)
	})
}

func TestAPanicIsAnInternalErrorAndTheSlotLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(_ context.Context, task tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			if task.ID == "a" {
				panic("boom")
			}
			return tasks.Result{}, nil
		}
		a := &fakeDelivery{task: deployTask("a")}
		run(t, w, h, func(o *worker.Options) { o.MaxAttempts = 1 }, a, &fakeDelivery{task: deployTask("b")})
		if got := w.terminal["a"]; got.Reason != tasks.ReasonInternal {
			t.Errorf("terminal record of a = %+v, want internal", got)
		}
		if got := w.terminal["b"]; !got.Succeeded() {
			t.Errorf("terminal record of b = %+v, want success", got)
		}
	})
}

func TestWhatCannotBeReadGoesToTheDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		invalid := tasks.Fail(tasks.ReasonInvalidTask, "body: failed to parse", nil)
		got := run(t, newWorld(), succeed, nil, &fakeDelivery{invalid: invalid})
		want(t, got, "discard invalid_task")
	})
}

func TestAnInvalidTaskWithReadableIDsFailsWithoutStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		invalid := tasks.Fail(tasks.ReasonInvalidTask, "params.imageName: is required", nil)
		got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a"), invalid: invalid})
		want(t, got, "flush", "record outcome a", "terminal a", "announce a failed", "end log a", "discard invalid_task", "delete run a")
	})
}

func TestADuplicateOfAnEndedTaskIsOnlyAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.terminal["a"] = worker.Settlement{TaskID: "a", Status: worker.StatusSucceeded}
		got := run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, "delete run a", "release a", "duplicate a", "ack a")
	})
}

func TestARecordedOutcomeIsCompletedAndNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Announced: true, Outcome: &worker.Settlement{TaskID: "a", Status: worker.StatusSucceeded}}
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			t.Error("the task was run again")
			return tasks.Result{}, nil
		}
		got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, "terminal a", "announce a succeeded", "end log a", "ack a", "delete run a", "release a")
	})
}

func TestAWorkerThatLostItsClaimSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			_, err := w.Claim(t.Context(), worker.ClaimRequest{TaskID: "a", Resume: false}) // somebody else
			return tasks.Result{}, err
		}
		got := run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		want(t, got, "IN_PROGRESS a", "save a", "flush", "record outcome a", "release a")
		if _, ended := w.terminal["a"]; ended {
			t.Error("a terminal record was written")
		}
	})
}

func TestTheThirdLostWorkerEndsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 2, Attempts: 2, Announced: true}
		run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")})
		if got := w.terminal["a"]; got.Reason != tasks.ReasonWorkerLost {
			t.Errorf("terminal record = %+v, want worker_lost", got)
		}
	})
}

func TestDrainLetsTasksFinishWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, sigterm := context.WithCancel(t.Context())
		started := make(chan struct{})
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			close(started)
			select {
			case <-time.After(20 * time.Second):
				return tasks.Result{}, nil
			case <-ctx.Done():
				return tasks.Result{}, ctx.Err()
			}
		}
		w.add(&fakeDelivery{task: deployTask("a")})
		w.add(&fakeDelivery{task: deployTask("b")})
		pool := w.pool(t, h, func(o *worker.Options) { o.DrainTimeout = 25 * time.Second })
		go func() { <-started; sigterm() }()
		pool.Run(ctx)
		if got := w.terminal["a"]; !got.Succeeded() {
			t.Errorf("terminal record = %+v, want success", got)
		}
		if len(w.pending) != 1 {
			t.Errorf("%d tasks are left in the queue, want 1: the intake must stop at once", len(w.pending))
		}
	})
}

func TestDrainHandsTheRestBackWithItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, sigterm := context.WithCancel(t.Context())
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			sigterm()
			<-ctx.Done()
			return tasks.Result{}, ctx.Err()
		}
		w.add(&fakeDelivery{task: deployTask("a")})
		w.pool(t, h, func(o *worker.Options) { o.DrainTimeout = 25 * time.Second }).Run(ctx)
		want(t, w.seen(), "IN_PROGRESS a", "save a", "flush", "save a", "retry event", "release a", "hand back a at once")
		if got := w.runs["a"].Attempts; got != 0 {
			t.Errorf("attempts = %d, want 0: a shutdown gives its attempt back", got)
		}
	})
}

func TestASecondDeliveryOfARunningTaskIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			time.Sleep(time.Minute) // the bubble's clock
			return tasks.Result{}, nil
		}
		got := run(t, w, h, func(o *worker.Options) { o.Slots = 2 }, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("a")})
		backs := 0
		for _, verb := range got {
			if verb == "hand back a later" {
				backs++
			}
		}
		if backs != 1 {
			t.Errorf("handed back %d times, want 1: %q", backs, got)
		}
	})
}

func TestRunOnceThatIsStoppedFailsAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, sigterm := context.WithCancel(t.Context())
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			sigterm()
			<-ctx.Done()
			return tasks.Result{}, ctx.Err()
		}
		w.add(&fakeDelivery{task: deployTask("a")})
		w.pool(t, h, func(o *worker.Options) { o.StopCause = tasks.ErrInterrupted }).Run(ctx)
		if got := w.terminal["a"]; got.Reason != tasks.ReasonInterrupted {
			t.Errorf("terminal record = %+v, want interrupted", got)
		}
	})
}

func TestALogThatCannotBeFlushedLeavesTimeForTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.flushHangs = true
		ctx, sigterm := context.WithCancel(t.Context())
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			sigterm()
			<-ctx.Done()
			return tasks.Result{}, ctx.Err()
		}
		w.add(&fakeDelivery{task: deployTask("a")})
		w.pool(t, h, func(o *worker.Options) { o.StopCause = tasks.ErrInterrupted }).Run(ctx)
		if got := w.terminal["a"]; got.Reason != tasks.ReasonInterrupted {
			t.Errorf("terminal record = %+v, want interrupted", got)
		}
	})
}

func TestTheWorkDirectoryIsGoneAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dir string
		h := func(_ context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			dir = at.Dir
			return tasks.Result{}, os.WriteFile(dir+"/file", nil, 0o600)
		}
		run(t, newWorld(), h, nil, &fakeDelivery{task: deployTask("a")})
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the work directory %s is still there: %v", dir, err)
		}
	})
}

func TestReapRemovesWhatDeadWorkersLeft(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	alive, err := worker.OpenWorkspace(parent)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	kept, err := alive.Create("task")
	if err != nil {
		t.Fatal(err)
	}
	dead := parent + "/dispatchd-dead"
	if err := os.MkdirAll(dead+"/task-1/source", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead+"/lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mine, err := worker.OpenWorkspace(parent)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mine.Close() }()
	if n, err := mine.Reap(); n != 1 || err != nil {
		t.Errorf("Reap() = %d, %v, want 1, nil", n, err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Error("the dead worker's folder is still there")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("a living worker's folder was removed: %v", err)
	}
}
