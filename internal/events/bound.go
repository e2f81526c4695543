package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// coveredFor is how long it is believed that a stream keeps build logs. Asking
// again for each task costs more than most of what a task says.
const coveredFor = 10 * time.Second

// bound is what the publisher has learnt of the server, so that not every task
// asks again. It is safe for concurrent use.
type bound struct {
	mu      sync.Mutex
	records jetstream.Stream
	logs    string
	until   time.Time
	// ends is what keeps the ends of build logs, believed until endsUntil.
	ends      keeper
	endsUntil time.Time
}

// keeper is a stream that keeps a subject, and whether events can be fenced there.
type keeper struct {
	stream string
	fenced bool
	// why says why they cannot.
	why string
}

// endKeeper returns what keeps the ends of build logs.
func (p *Publisher) endKeeper(ctx context.Context, subject string) (keeper, error) {
	p.bound.mu.Lock()
	known, until := p.bound.ends, p.bound.endsUntil
	p.bound.mu.Unlock()
	if known.stream != "" && time.Now().Before(until) {
		return known, nil
	}
	found, err := p.keeper(ctx, subject)
	if err != nil {
		return keeper{}, err
	}
	p.bound.mu.Lock()
	defer p.bound.mu.Unlock()
	p.bound.ends, p.bound.endsUntil = found, time.Now().Add(coveredFor)
	return found, nil
}

// forgetEnds asks again next time.
func (b *bound) forgetEnds() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = keeper{}
}

// recordStream returns the handle of our own stream. It never changes: its
// configuration was checked at the start.
func (p *Publisher) recordStream(ctx context.Context) (jetstream.Stream, error) {
	p.bound.mu.Lock()
	known := p.bound.records
	p.bound.mu.Unlock()
	if known != nil {
		return known, nil
	}
	stream, err := p.js.Stream(ctx, p.options.Stream)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", p.options.Stream, err)
	}
	p.bound.mu.Lock()
	defer p.bound.mu.Unlock()
	p.bound.records = stream
	return stream, nil
}

// logStream returns the name of the stream that keeps the lines of a subject,
// empty where none does. One stream keeps all build logs or none does: only that
// one is there is remembered, and for a short while.
func (p *Publisher) logStream(ctx context.Context, subject string) (string, error) {
	p.bound.mu.Lock()
	known, until := p.bound.logs, p.bound.until
	p.bound.mu.Unlock()
	if known != "" && time.Now().Before(until) {
		return known, nil
	}
	name, err := p.js.StreamNameBySubject(ctx, subject)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for the stream of %s: %w", subject, err)
	}
	p.bound.mu.Lock()
	defer p.bound.mu.Unlock()
	p.bound.logs, p.bound.until = name, time.Now().Add(coveredFor)
	return name, nil
}
