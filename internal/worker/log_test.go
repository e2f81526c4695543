package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// captured is a log that slots and heartbeats write.
type captured struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *captured) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

// into has the pool log here.
func (c *captured) into(t *testing.T) func(*worker.Options) {
	t.Helper()
	log, err := logging.New(logging.Options{Level: "debug", Out: c}, redact.New())
	if err != nil {
		t.Fatal(err)
	}
	return func(o *worker.Options) { o.Log, o.MaxAttempts = log, 2 }
}

// check requires the ids once on each line and returns the messages.
func (c *captured) check(t *testing.T) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(c.buf.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[fmt.Sprint(fields["msg"])] = true
		for _, key := range []string{"task_id", "task", "step", "attempt", "trace_id"} {
			if strings.Count(line, `"`+key+`":`) != 1 || fields[key] == "" {
				t.Errorf("%s stands not once in %s", key, line)
			}
		}
		if n, ok := fields["attempt"].(float64); !ok || n == 0 && fields["step"] != "accept" {
			t.Errorf("attempt %v in %s", fields["attempt"], line)
		}
	}
	return seen
}

// TestEveryLineAboutATaskHasItsIDs makes each step fail once, so that whatever
// can be logged on a task's way is.
func TestEveryLineAboutATaskHasItsIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newWorld(), new(captured)
		for _, verb := range []string{
			"open", "claim", "IN_PROGRESS a", "save a", "record outcome a", "terminal a", "announce a failed", "end log a", "ack a",
			"flush", "hand back a later", "duplicate a", "discard invalid_task",
		} {
			w.fail[verb] = 1
		}
		w.fail["extend"], w.fail["save a"] = always, 2 // giving the attempt back fails too
		h := func(_ context.Context, task tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
			if task.ID == "panics" {
				panic("boom")
			}
			rep.Stage(tasks.StageClone)
			time.Sleep(15 * time.Second) // the bubble's clock
			lost := tasks.Undestroyed{Job: tasks.DestroyJob{JobID: "j"}, Failure: tasks.Fail(tasks.ReasonNomadDown, "", nil)}
			return tasks.Result{Undestroyed: []tasks.Undestroyed{lost}}, tasks.Fail(tasks.ReasonGitUnavailable, "", nil)
		}
		var deliveries []*fakeDelivery
		for range 5 { // a claim that fails, a stream that does not open, two attempts, a duplicate
			deliveries = append(deliveries, &fakeDelivery{task: deployTask("a")})
		}
		deliveries = append(deliveries, &fakeDelivery{task: deployTask("panics")},
			&fakeDelivery{invalid: tasks.Fail(tasks.ReasonInvalidTask, "", nil), task: tasks.Task{ID: "bad", Kind: tasks.KindDeployImage}})
		run(t, w, h, log.into(t), deliveries...)
		seen := log.check(t)
		for _, want := range []string{
			"claim the task", "open the task's stream", "task started", "attempt failed", "task handed back", "task settled", "task refused",
			"the task has ended already; nothing is done again", "publish IN_PROGRESS", "note IN_PROGRESS", "record the outcome", "write the terminal record",
			"publish the outcome", "end the log", "acknowledge the message", "log lines were lost", "job not destroyed", "panic in a step",
			"say that the task is worked on", "write the dead letter", "hand the message back; it is redelivered when its ack wait ends",
		} {
			if !seen[want] {
				t.Errorf("%q was not logged: the test does not reach it; logged were %q", want, slices.Sorted(maps.Keys(seen)))
			}
		}
	})
}

func TestAnOutcomeThatWaitsForNATSShowsInTheMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail["announce a succeeded"] = always
		w.add(&fakeDelivery{task: deployTask("a")})
		w.close()
		pool := w.pool(t, succeed, nil)
		registry := prometheus.NewRegistry()
		worker.RegisterUndelivered(registry, pool)
		expect := func(n, age int) {
			t.Helper()
			text := fmt.Sprintf(`# HELP dispatchd_undelivered_outcome_age_seconds For how long the oldest of them has waited.
# TYPE dispatchd_undelivered_outcome_age_seconds gauge
dispatchd_undelivered_outcome_age_seconds %d
# HELP dispatchd_undelivered_outcomes Tasks of this worker that have ended and are not yet told to everybody.
# TYPE dispatchd_undelivered_outcomes gauge
dispatchd_undelivered_outcomes %d
`, age, n)
			if err := testutil.GatherAndCompare(registry, strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		}
		expect(0, 0)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { pool.Run(ctx); close(done) }()
		synctest.Wait()
		time.Sleep(90 * time.Second) // the bubble's clock
		expect(1, 90)
		stop()
		<-done
		expect(0, 0)
	})
}
