//go:build e2e

package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
	const n = 20
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
	runs     jetstream.Stream
	body     []byte
}

func (w *bare) run(b *testing.B, slots, n int) time.Duration {
	b.Helper()
	p := w.platform
	w.bind(b)
	p.fill(b, n)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var left atomic.Int64
	left.Store(int64(n))
	var took time.Duration
	var working sync.WaitGroup
	began := time.Now()
	for range slots {
		working.Go(func() {
			for ctx.Err() == nil {
				if err := w.work(ctx); err != nil && ctx.Err() == nil {
					b.Error(err)
					stop()
				} else if err == nil && left.Add(-1) == 0 {
					took = time.Since(began)
					stop()
				}
			}
		})
	}
	working.Wait()
	return max(took, 1)
}

func (w *bare) bind(b *testing.B) {
	b.Helper()
	var err error
	ctx, p := brief(b), w.platform
	w.consumer, err = p.js.Consumer(ctx, p.topology.Tasks(), "dispatchd")
	must(b, err)
	w.events, err = p.js.Stream(ctx, p.topology.Events())
	must(b, err)
	w.runs, err = p.js.Stream(ctx, "KV_"+p.topology.Runs())
	must(b, err)
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
	p := w.platform
	subjects := []string{
		"$KV." + p.topology.Runs() + "." + id, p.subject("deployment.status.changed"),
		p.subject("dispatch.done." + id), p.subject("deployment.succeeded"), p.subject("build.log.end.dep-" + id),
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for range w.cost.reads {
		_, err := w.events.GetLastMsgForSubject(ctx, p.subject("dispatch.done."+id))
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	var run uint64
	for i := range w.cost.writes {
		ack, err := p.js.Publish(ctx, subjects[i%len(subjects)], w.body, jetstream.WithMsgID(fmt.Sprintf("%s.%d", id, i)))
		if err != nil {
			return err
		}
		if i%len(subjects) == 0 {
			run = ack.Sequence
		}
	}
	for range w.cost.notes {
		if err := p.nc.Publish(p.subject("dispatch.event."+id+".note"), w.body); err != nil {
			return err
		}
	}
	for range w.cost.deletes {
		if err := w.runs.DeleteMsg(ctx, run); err != nil {
			return err
		}
	}
	return nil
}
