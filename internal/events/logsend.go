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
		l.publisher.options.Metrics.lines.Add(float64(sent))
		lines = lines[sent:]
		l.out += uint64(sent)
		if err != nil {
			l.publisher.options.Metrics.logFailures.Inc()
			wait.pause(ctx)
		}
	}
}

// try publishes the lines and returns how many from the front the server has.
func (l *buildLog) try(ctx context.Context, lines []*nats.Msg) (int, error) {
	if l.plain {
		return l.tryPlain(lines)
	}
	return l.tryStored(ctx, lines)
}

func (l *buildLog) tryStored(ctx context.Context, lines []*nats.Msg) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, l.publisher.options.Timeout)
	defer cancel()
	if len(lines) == 1 {
		if _, err := l.publisher.js.PublishMsg(ctx, lines[0]); err != nil {
			return 0, err
		}
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
	return awaitInOrder(ctx, futures, len(lines))
}

// awaitInOrder counts the stored messages up to the first that is not known to
// be. Those behind it are sent again; their ids keep them single.
func awaitInOrder(ctx context.Context, futures []jetstream.PubAckFuture, want int) (int, error) {
	for i, future := range futures {
		select {
		case <-future.Ok():
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
