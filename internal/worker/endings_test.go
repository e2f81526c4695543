package worker_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// always makes a verb fail for as long as the test lasts.
const always = math.MaxInt

// once makes the pool of a run-once over the world.
func (w *world) once(t *testing.T, h handler, heard func(worker.Settlement)) *worker.Pool {
	t.Helper()
	source := queue.NewOnce(deployTask("a"), nil, "")
	source.Limit = 16 * time.Minute
	space, err := worker.OpenWorkspace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	return worker.New(source, w, w, h, worker.Options{
		SettleTimeout: time.Minute, StopCause: tasks.ErrInterrupted, OnSettled: heard,
		Workspace: space, Redactor: redact.New(), Log: zap.NewNop(), Metrics: worker.NewMetrics(prometheus.NewRegistry()),
	})
}

// ends fails where the pool still runs after the limit of the bubble's clock.
func ends(ctx context.Context, t *testing.T, pool *worker.Pool, limit time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() { pool.Run(ctx); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Errorf("it still runs after %s", limit)
		stop()
		<-done
	}
}

func TestRunOnceEndsWhereItNeverGetsAClaim(t *testing.T) {
	for _, verb := range []string{"claim", "open"} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.fail[verb] = always
				ends(t.Context(), t, w.once(t, succeed, nil), 17*time.Minute)
			})
		})
	}
}

func TestRunOnceEndsWhereARecordedOutcomeCannotBeDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.runs["a"] = &worker.Run{Claims: 1, Attempts: 1, Outcome: &worker.Settlement{TaskID: "a", Status: worker.StatusSucceeded}}
		w.fail["announce a succeeded"] = always
		ends(t.Context(), t, w.once(t, succeed, nil), 17*time.Minute)
	})
}

func TestAnOutcomeThatIsOutCountsThoughItsRecordStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail["delete run a"] = always
		var heard []worker.Settlement
		pool := w.once(t, succeed, func(s worker.Settlement) { heard = append(heard, s) })
		ends(t.Context(), t, pool, 17*time.Minute)
		if len(heard) != 1 || !heard[0].Succeeded() {
			t.Errorf("settled %+v, want the success that was announced", heard)
		}
	})
}

func TestRunOnceThatIsStoppedBetweenItsAttemptsSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, sigterm := context.WithCancel(t.Context())
		var once sync.Once
		h := func(ctx context.Context, _ tasks.Task, _ tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
			once.Do(func() { time.AfterFunc(5*time.Second, sigterm) })
			if ctx.Err() != nil {
				return tasks.Result{}, context.Cause(ctx)
			}
			return tasks.Result{}, tasks.Fail(tasks.ReasonNomadDown, "", nil)
		}
		ends(ctx, t, w.once(t, h, nil), time.Minute)
		if got := w.terminal["a"]; got.Status != worker.StatusFailed {
			t.Errorf("terminal record = %+v, want a failure: IN_PROGRESS is out", got)
		}
	})
}

func TestAStreamThatCannotBeOpenedIsNoLostWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail["open"] = 2
		run(t, w, succeed, nil, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("a")})
		if got := w.terminal["a"]; !got.Succeeded() || got.Attempt != 1 {
			t.Errorf("terminal record = %+v, want success in attempt 1", got)
		}
	})
}

func TestAWorkerThatLostItsClaimWritesNoLogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := func(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
			return tasks.Result{}, worker.ErrClaimLost
		}
		run(t, w, h, nil, &fakeDelivery{task: deployTask("a")})
		if got := w.log.String(); got != "" {
			t.Errorf("the log got %q: the task is somebody else's", got)
		}
	})
}

func TestAStartingWorkerIsNotReaped(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	for range 300 {
		var starting sync.WaitGroup
		for range 4 {
			starting.Go(func() {
				space, err := worker.OpenWorkspace(parent)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = space.Close() }()
				if _, err := space.Reap(); err != nil {
					t.Error(err)
				}
				if _, err := space.Create("task"); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
	}
}
