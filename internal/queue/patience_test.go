package queue_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/queue"
)

// deaf is a connection that hears nothing while it is on, as from a stream that
// has no leader.
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

func TestTheSetupWaitsForAStreamWithoutALeader(t *testing.T) {
	t.Parallel()
	dialer := &deafDialer{}
	nc, err := nats.Connect(natstest.Run(t).ClientURL(), nats.SetCustomDialer(dialer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	dialer.on.Store(true)
	time.AfterFunc(5200*time.Millisecond, func() { dialer.on.Store(false) })
	if err := queue.EnsureService(t.Context(), nc, js, queue.Topology{Replicas: 1}); err != nil {
		t.Errorf("the first answer was lost: %v", err)
	}
}
