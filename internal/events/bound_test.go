package events_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// TestWhatIsKnownIsNotAskedForEachTask counts the requests about streams that
// several tasks make.
func TestWhatIsKnownIsNotAskedForEachTask(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	asked := make(chan *nats.Msg, 100)
	for _, subject := range []string{"$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES"} {
		if _, err := a.nc.ChanSubscribe(subject, asked); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if ended, err := a.publisher.Ended(t.Context(), "task-1"); ended != nil || err != nil {
			t.Fatalf("Ended() = %v, %v", ended, err)
		}
		a.open(t, subject(tasks.KindDeployImage))
	}
	if err := a.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := len(asked), 2; got != want {
		t.Errorf("five tasks asked about streams %d times, want %d", got, want)
	}
}
