//go:build e2e

package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// cost is what one task asks of the server beside its pull and its double ack.
type cost struct {
	// reads, writes and deletes wait for an answer; notes are stored without one.
	reads, writes, deletes, notes int
	// bytes is the mean size of a write.
	bytes int
}

func (c cost) String() string {
	return fmt.Sprintf("%d writes of %d bytes, %d deletes, %d reads, %d notes without an answer, beside pull and double ack",
		c.writes, c.bytes, c.deletes, c.reads, c.notes)
}

// countRequests lets the real path work off some tasks while another
// connection sees everything that it sends.
func countRequests(b *testing.B, ours *whole) cost {
	b.Helper()
	const n = 200
	p := ours.platform
	nc, err := nats.Connect(p.url)
	must(b, err)
	defer nc.Close()
	heard := tally{}
	// The tasks themselves are published by the bench.
	prefix := p.subject("dispatch.task.")
	for _, subject := range []string{"$JS.API.>", "$KV.>", p.topology.Prefix + ".>"} {
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if !strings.HasPrefix(m.Subject, prefix) {
				heard.add(m)
			}
		})
		must(b, err)
	}
	must(b, nc.Flush())
	ours.run(b, 2, n)
	// What was sent before this is heard before its answer.
	must(b, p.nc.Flush())
	must(b, nc.Flush())
	return heard.perTask(n)
}

// tally counts messages by what they ask for.
type tally struct {
	mu    sync.Mutex
	total cost
}

func (t *tally) add(m *nats.Msg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	has := func(prefix string) bool { return strings.HasPrefix(m.Subject, prefix) }
	switch {
	case has("$JS.API.STREAM.MSG.DELETE."):
		t.total.deletes++
	case has("$JS.API.STREAM."):
		t.total.reads++
	case has("$JS.API."):
		// The pull, and what binds the pool once.
	case m.Reply == "":
		t.total.notes++
	default:
		t.total.writes++
		t.total.bytes += len(m.Data)
	}
}

// perTask rounds: binding the pool asks for some things once.
func (t *tally) perTask(n int) cost {
	t.mu.Lock()
	defer t.mu.Unlock()
	share := func(total int) int { return (total + n/4) / n }
	return cost{
		reads: share(t.total.reads), writes: share(t.total.writes), deletes: share(t.total.deletes), notes: share(t.total.notes),
		bytes: t.total.bytes / max(1, t.total.writes),
	}
}

// bare is a worker without a promise: it pulls, sends as many requests of each
// sort as one task of ours, to the same kinds of stream, and acknowledges.
type bare struct {
	platform *platform
	cost     cost

	consumer jetstream.Consumer
	events   jetstream.Stream
	// buckets are those of runs and leases.
	buckets [2]jetstream.Stream
	body    []byte
}

func (w *bare) run(b *testing.B, slots, n int) spent {
	b.Helper()
	w.bind(b)
	w.platform.fill(b, n)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	clock := w.platform.startClock(n, stop)
	var working sync.WaitGroup
	for range slots {
		working.Go(func() {
			for ctx.Err() == nil {
				if err := w.work(ctx); err != nil && ctx.Err() == nil {
					b.Error(err)
					stop()
				} else if err == nil {
					clock.ended()
				}
			}
		})
	}
	working.Wait()
	return clock.result
}

func (w *bare) bind(b *testing.B) {
	b.Helper()
	var err error
	ctx, p := brief(b), w.platform
	w.consumer, err = p.js.Consumer(ctx, p.topology.Tasks(), "dispatchd")
	must(b, err)
	w.events, err = p.js.Stream(ctx, p.topology.Events())
	must(b, err)
	for i, bucket := range []string{p.topology.Runs(), p.topology.Leases()} {
		w.buckets[i], err = p.js.Stream(ctx, "KV_"+bucket)
		must(b, err)
	}
	w.body = bytes.Repeat([]byte("x"), w.cost.bytes)
}

// work takes one task.
func (w *bare) work(ctx context.Context) error {
	pulling, cancel := context.WithTimeout(ctx, 30*time.Second)
	msg, err := w.consumer.Next(jetstream.FetchContext(pulling))
	cancel()
	if err != nil {
		return err
	}
	if err := w.pay(ctx, msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:]); err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return msg.DoubleAck(ctx)
}

// pay sends the requests of one task.
func (w *bare) pay(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for range w.cost.reads {
		_, err := w.events.GetLastMsgForSubject(ctx, w.platform.subject("dispatch.done."+id))
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	stored, err := w.write(ctx, id)
	if err != nil {
		return err
	}
	for range w.cost.notes {
		if err := w.platform.nc.Publish(w.platform.subject("dispatch.event."+id+".note"), w.body); err != nil {
			return err
		}
	}
	for i := range w.cost.deletes {
		if err := w.buckets[i%len(w.buckets)].DeleteMsg(ctx, stored[i%len(w.buckets)]); err != nil {
			return err
		}
	}
	return nil
}

// write stores messages where a task of ours does, and returns the sequences of
// the last ones in the buckets.
func (w *bare) write(ctx context.Context, id string) (last [2]uint64, err error) {
	p := w.platform
	run, lease := "$KV."+p.topology.Runs()+"."+id, "$KV."+p.topology.Leases()+".target."+id
	subjects := []string{
		lease, run, p.subject("deployment.status.changed"), run, run,
		p.subject("dispatch.done." + id), p.subject("deployment.succeeded"), p.subject("build.log.end.dep-" + id),
	}
	for i := range w.cost.writes {
		subject := subjects[i%len(subjects)]
		ack, err := p.js.Publish(ctx, subject, w.body, jetstream.WithMsgID(fmt.Sprintf("%s.%d", id, i)))
		if err != nil {
			return last, err
		}
		switch subject {
		case run:
			last[0] = ack.Sequence
		case lease:
			last[1] = ack.Sequence
		}
	}
	return last, nil
}
