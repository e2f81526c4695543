package queue_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dispatchd/dispatchd/internal/queue"
)

func TestTwoWorkersOfOneNameAreNoticed(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1, Pace: queue.Pace{LeaseTTL: 900 * time.Millisecond}}
	_, js, _ := open(t, topology)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	warned := make(chan string, 10)
	core, _ := observer.New(zap.WarnLevel)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error { warned <- e.Message; return nil }))
	var living sync.WaitGroup
	for start := range 2 {
		info := queue.WorkerInfo{ID: "w1", Started: time.Unix(int64(start), 0)}
		presence := queue.NewPresence(leasesOf(t, js, topology, "w1"), func() queue.WorkerInfo { return info }, log)
		living.Go(func() { presence.Run(ctx) })
	}
	for range 2 {
		select {
		case message := <-warned:
			if !strings.Contains(message, "DISPATCHD_WORKER_ID") {
				t.Errorf("the log says %q, want it to name the setting", message)
			}
		case <-ctx.Done():
			t.Fatal("not both have noticed the other")
		}
	}
	cancel()
	living.Wait()
	if len(warned) > 0 {
		t.Errorf("it is said again: %q", <-warned)
	}
}

// A sign that the server dropped, as after a stall, is nobody else's, nor is one of
// our own whose answer was lost.
func TestAWorkerThatHasLostItsSignDoesNotSuspectItself(t *testing.T) {
	t.Parallel()
	topology := queue.Topology{Replicas: 1, Pace: queue.Pace{LeaseTTL: 900 * time.Millisecond}}
	nc, js, _ := open(t, topology)
	stream, err := js.Stream(t.Context(), "KV_dispatch_lease")
	if err != nil {
		t.Fatal(err)
	}
	signs, err := nc.SubscribeSync("$KV.dispatch_lease.worker.w1")
	if err != nil {
		t.Fatal(err)
	}
	core, said := observer.New(zap.DebugLevel)
	ctx, cancel := context.WithCancel(t.Context())
	presence := queue.NewPresence(leasesOf(t, js, topology, "w1"), func() queue.WorkerInfo { return queue.WorkerInfo{ID: "w1"} }, zap.New(core))
	var living sync.WaitGroup
	living.Go(func() { presence.Run(ctx) })
	// One that is refused is heard, too, and written again without a condition.
	for i := range 6 {
		sign, err := signs.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			err = stream.Purge(t.Context())
		} else {
			_, err = js.Publish(t.Context(), sign.Subject, sign.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	living.Wait()
	if said.Len() > 0 {
		t.Errorf("the log says %v, want nothing", said.All())
	}
}

func TestALeaseOfAnotherProcessWithOurNameIsNotOurs(t *testing.T) {
	t.Parallel()
	_, js, _ := open(t, queue.Topology{Replicas: 1})
	if first := leaseOf(t, js, "w1", "a"); first.blocked != nil {
		t.Fatal(first.blocked)
	}
	if second := leaseOf(t, js, "w1", "a"); second.blocked == nil || !second.blocked.Mine {
		t.Errorf("a second process of the same name: %+v, want it to wait for the first", second.blocked)
	}
}
