package events_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestTheEndOfALogGoesOutPlainWhereItsStreamKeepsLinesAlone(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	if _, err := a.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"build.log.*"}}); err != nil {
		t.Fatal(err)
	}
	got := make(chan *nats.Msg, 1)
	subscription, err := a.nc.ChanSubscribe("build.log.end.*", got)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = subscription.Unsubscribe() }()
	stream := a.open(t, subject(tasks.KindDeployImage))
	if err := a.publisher.EndLog(t.Context(), stream.Compose(tasks.Outcome{})); err != nil {
		t.Fatalf("EndLog() = %v: the task would never be acknowledged", err)
	}
	select {
	case <-got:
	case <-time.After(5 * time.Second):
		t.Error("the end was not heard")
	}
}

func TestTheNumberOfTheLastLineCountsOnlyWhatIsOut(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployImage))
	a.nc.Close()
	_, _ = stream.Stdout().Write([]byte("one\ntwo\nthree\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if last, err := stream.Flush(ctx); last != 0 || err == nil {
		t.Errorf("Flush() = %d, %v, want 0: no line is out, and the next attempt goes on from there", last, err)
	}
}

// A log that goes on must know where it was: it is not numbered anew where its
// stream cannot be read at the moment.
func TestALogIsNotNumberedAnewWhereItCannotBeRead(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	a.open(t, subject(tasks.KindDeployImage)).Close()
	again := subject(tasks.KindDeployImage)
	again.Run.Claims = 2
	a.nc.Close()
	if stream, err := a.publisher.Open(t.Context(), again); err == nil {
		stream.Close()
		t.Error("the stream is open, want an error: nobody knows the last number")
	}
}

func TestALaneFindsTheStreamThatTookTheOldOnesPlace(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	say := func(id string) error {
		about := begun(t, a.publisher, id)
		return a.publisher.Announce(t.Context(), compose(t, a.publisher, about, tasks.Outcome{}))
	}
	if err := say("one"); err != nil {
		t.Fatal(err)
	}
	if err := a.js.DeleteStream(t.Context(), "BACKEND"); err != nil {
		t.Fatal(err)
	}
	about := begun(t, a.publisher, "two")
	outcome := compose(t, a.publisher, about, tasks.Outcome{})
	if err := a.publisher.Announce(t.Context(), outcome); err == nil {
		t.Fatal("announced without a stream")
	}
	config := jetstream.StreamConfig{Name: "ANOTHER", Subjects: []string{"deployment.>", "job.destroyed"}}
	if _, err := a.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.publisher.Announce(t.Context(), outcome); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(a.messages(t, "ANOTHER")); got != 1 {
		t.Errorf("the new stream holds %d messages, want the one outcome", got)
	}
}
