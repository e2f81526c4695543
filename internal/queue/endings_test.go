package queue_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestADeadLetterAsLargeAsTheServerTakesIsStillWritten(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1}
	nc, js, q := open(t, topology)
	body := strings.Repeat("x", int(nc.MaxPayload())-100)
	publish(t, js, topology.TaskSubject("deploy-image", "web", "id-1"), body)
	why := worker.DeadLetter{Reason: tasks.ReasonInvalidTask, Message: strings.Repeat("no ", 400), Attempt: 1}
	if err := fetch(t, q).Discard(t.Context(), why); err != nil {
		t.Fatalf("Discard() = %v: the message would block its slot for ever", err)
	}
	stream, err := js.Stream(t.Context(), "DISPATCH_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	letter, err := stream.GetLastMsgForSubject(t.Context(), "dispatch.dlq.id-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(letter.Data) < len(body)-2048 || letter.Header.Get("Dispatch-Reason") != "invalid_task" || !strings.Contains(letter.Header.Get("Dispatch-Error"), "left out") {
		t.Errorf("the letter has %d of %d bytes and says %q", len(letter.Data), len(body), letter.Header)
	}
	waitEmpty(t, js, "DISPATCH_TASKS")
}

func TestAWriteWhoseAnswerWasLostIsNotTakenForALostClaim(t *testing.T) {
	t.Parallel()
	js, one, two := newRuns(t)
	c := claim(t, one, "id")
	bucket, err := js.KeyValue(t.Context(), "dispatch_run")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	// What the server holds after a Save whose answer never came.
	stored := strings.NewReplacer(`{"claims"`, `{"announced":true,"claims"`, `"writes":1`, `"writes":2`).Replace(string(entry.Value()))
	if _, err := bucket.Update(t.Context(), "id", []byte(stored), entry.Revision()); err != nil {
		t.Fatal(err)
	}
	if err := c.Save(t.Context(), func(r *worker.Run) { r.Outcome = &worker.Settlement{TaskID: "id"} }); err != nil {
		t.Errorf("Save() = %v, want nil: nobody has claimed the run since", err)
	}
	if run := claim(t, two, "id").Run(); run.Outcome == nil {
		t.Errorf("the next claim reads %+v, want the outcome", run)
	}
}

func TestOnceGivesALastDeliveryWhereItsProcessIsStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	q := queue.NewOnce(tasks.Task{ID: "a"}, nil, "")
	if err := fetch(t, q).Retry(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	stop()
	d, err := q.Fetch(ctx)
	if err != nil {
		t.Fatalf("Fetch() = %v, want the delivery, so that the task gets its outcome", err)
	}
	if err := d.Retry(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Fetch(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("Fetch() = %v, want the end", err)
	}
}

func TestOnceThatIsStoppedBeforeItsFirstDeliveryGivesNone(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := queue.NewOnce(tasks.Task{ID: "a"}, nil, "").Fetch(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("Fetch() = %v, want io.EOF", err)
	}
}

func TestAnOutcomeIsSavedWithoutReadingTheTimeOfTheClaim(t *testing.T) {
	t.Parallel()
	js, one, two := newRuns(t)
	reads, err := js.Conn().SubscribeSync("$JS.API.STREAM.MSG.GET.>")
	if err != nil {
		t.Fatal(err)
	}
	first := claim(t, one, "id")
	if err := first.Save(t.Context(), func(r *worker.Run) { r.Outcome = &worker.Settlement{TaskID: "id"} }); err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := reads.Pending(); n != 0 || err != nil {
		t.Errorf("%d messages were read, %v: want none", n, err)
	}
	if second := claim(t, two, "id"); second.Run().Outcome == nil || second.Age() > time.Minute {
		t.Errorf("the second claim reads %+v, %s old", second.Run(), second.Age())
	}
}
