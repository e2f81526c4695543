package events

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// send publishes a batch in its order; run events go out between the lines.
func (l *buildLog) send(ctx context.Context, batch []entry) {
	var lines []*nats.Msg
	for _, e := range batch {
		if e.notice != nil {
			l.sendLines(ctx, lines)
			lines = nil
			l.publisher.runEvent(ctx, *e.notice)
			continue
		}
		l.sequence++
		lines = append(lines, l.message(e.line, l.sequence))
		l.publisher.options.Metrics.bytes.Add(float64(len(e.line.content)))
		l.publisher.options.Metrics.lag.Set(time.Since(e.line.at).Seconds())
	}
	l.sendLines(ctx, lines)
}

// sendLines returns when the server has every line, or ctx has ended.
func (l *buildLog) sendLines(ctx context.Context, lines []*nats.Msg) {
	wait := retryWait{next: 50 * time.Millisecond}
	for len(lines) > 0 && ctx.Err() == nil {
		if !l.ours() {
			wait.pause(ctx)
			continue
		}
		sent, err := l.try(ctx, lines)
		lines = l.passed(lines, sent)
		if err != nil {
			l.publisher.options.Metrics.logFailures.Inc()
			l.unsure = !l.plain
			wait.pause(ctx)
		}
	}
}

// passed leaves out lines that the server has.
func (l *buildLog) passed(lines []*nats.Msg, n int) []*nats.Msg {
	l.publisher.options.Metrics.lines.Add(float64(n))
	l.out += uint64(n)
	return lines[n:]
}

// try publishes the lines and returns how many from the front the server has.
func (l *buildLog) try(ctx context.Context, lines []*nats.Msg) (int, error) {
	if l.plain {
		return l.tryPlain(lines)
	}
	ctx, cancel := context.WithTimeout(ctx, l.publisher.options.Timeout)
	defer cancel()
	if l.unsure {
		return l.tryAgain(ctx, lines)
	}
	return l.tryStored(ctx, lines)
}

// tryAgain looks, after a failure, how far the log has come, and goes on from
// there with one line: it is refused where one of those that were on their way
// has arrived since.
func (l *buildLog) tryAgain(ctx context.Context, lines []*nats.Msg) (int, error) {
	last, err := l.publisher.last(ctx, l.stream, lines[0].Subject)
	if err != nil {
		return 0, err
	}
	l.tail, l.known = 0, true
	stored := 0
	if last != nil {
		l.tail = last.sequence
		stored = l.until(lines, last.key)
	}
	if stored == len(lines) {
		l.unsure = false
		return stored, nil
	}
	sent, err := l.tryStored(ctx, lines[stored:stored+1])
	l.unsure = err != nil
	return stored + sent, err
}

// until counts the lines up to the one with the key; 0 where none has it.
func (l *buildLog) until(lines []*nats.Msg, key string) int {
	for i, line := range lines {
		if line.Header.Get(nats.MsgIdHdr) == key {
			return i + 1
		}
	}
	return 0
}

func (l *buildLog) tryStored(ctx context.Context, lines []*nats.Msg) (int, error) {
	if len(lines) == 1 {
		ack, err := l.publisher.js.PublishMsg(ctx, lines[0], l.fence()...)
		if err != nil {
			return 0, err
		}
		l.tail, l.known = ack.Sequence, true
		return 1, nil
	}
	futures := make([]jetstream.PubAckFuture, 0, len(lines))
	for _, line := range lines {
		if !l.ours() {
			break
		}
		future, err := l.publisher.js.PublishMsgAsync(line)
		if err != nil {
			break
		}
		futures = append(futures, future)
	}
	return l.awaitInOrder(ctx, futures, len(lines))
}

// fence has the server refuse a line where another one follows our last.
func (l *buildLog) fence() []jetstream.PublishOpt {
	if !l.known {
		return nil
	}
	return []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(l.tail)}
}

// awaitInOrder counts the stored messages up to the first that is not known to
// be. Those behind it are looked for, and sent again where they are missing.
func (l *buildLog) awaitInOrder(ctx context.Context, futures []jetstream.PubAckFuture, want int) (int, error) {
	for i, future := range futures {
		select {
		case ack := <-future.Ok():
			l.tail, l.known = ack.Sequence, true
		case err := <-future.Err():
			return i, err
		case <-ctx.Done():
			return i, context.Cause(ctx)
		}
	}
	if len(futures) < want {
		return len(futures), errBusy
	}
	return want, nil
}

// tryPlain sends lines that no stream keeps.
func (l *buildLog) tryPlain(lines []*nats.Msg) (int, error) {
	for i, line := range lines {
		plain := nats.NewMsg(line.Subject)
		plain.Data, plain.Header = line.Data, line.Header
		if err := l.publisher.nc.PublishMsg(plain); err != nil {
			return i, err
		}
	}
	return len(lines), nil
}
