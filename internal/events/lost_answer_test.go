package events_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// deaf is a connection that hears nothing for a while: what the server answers
// then is lost.
type deaf struct {
	net.Conn
	on *atomic.Bool
}

func (d deaf) Read(p []byte) (int, error) {
	for {
		n, err := d.Conn.Read(p)
		if err != nil || !d.on.Load() {
			return n, err
		}
	}
}

type deafDialer struct{ on atomic.Bool }

func (d *deafDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return deaf{Conn: conn, on: &d.on}, err
}

// A line that was stored, and whose answer was lost, is not sent again: the
// server forgets ids sooner than that.
func TestALineWhoseAnswerWasLostStandsOnce(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	if err := a.js.DeleteStream(t.Context(), "LOGS"); err != nil {
		t.Fatal(err)
	}
	logs := jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"build.log.>"}, Duplicates: 100 * time.Millisecond}
	if _, err := a.js.CreateStream(t.Context(), logs); err != nil {
		t.Fatal(err)
	}
	dialer := &deafDialer{}
	nc, err := nats.Connect(a.nc.ConnectedUrl(), nats.SetCustomDialer(dialer), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	publisher := events.NewPublisher(nc, js, events.Options{
		Subjects: events.NewSubjects("", ""), Stream: "EVENTS", Timeout: 300 * time.Millisecond,
		Log: zap.NewNop(), Metrics: events.NewMetrics(prometheus.NewRegistry()),
	})
	stream, err := publisher.Open(t.Context(), subject(tasks.KindDeployImage))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	dialer.on.Store(true)
	_, _ = stream.Stdout().Write([]byte("one\ntwo\n"))
	for len(a.lines(t)) == 0 {
		// It is on its way.
	}
	time.AfterFunc(time.Second, func() { dialer.on.Store(false) })
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Stdout().Write([]byte("three\n"))
	if last, err := stream.Flush(t.Context()); err != nil || last != 3 {
		t.Errorf("Flush() = %d, %v, want 3", last, err)
	}
	var numbers []int
	for _, l := range a.lines(t) {
		numbers = append(numbers, l.Sequence)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, numbers); diff != "" {
		t.Errorf("the lines' numbers (-want +got):\n%s", diff)
	}
}
