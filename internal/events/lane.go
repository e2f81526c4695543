package events

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// lane publishes the events of one subject, one after the other, so that each
// event key stands in the stream once, whoever else publishes there.
//
// Its one invariant: an event is published with an expected sequence up to which
// the subject was read, at the leader, without finding the event's key. A
// message that somebody else has put there since makes the server refuse it;
// then the lane reads on from where it was, and asks again.
type lane struct {
	publisher *Publisher
	subject   string

	mu sync.Mutex
	// keeper is the subject's stream, once opened is true.
	keeper keeper
	opened bool
	// tail is the sequence up to which the subject was read.
	tail uint64
	// passed are the keys that were read or published last.
	passed recent
}

// publish makes sure that the event stands in the stream.
func (l *lane) publish(ctx context.Context, kind string, e worker.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.put(ctx, kind, e)
	if errors.Is(err, errUncovered) || errors.Is(err, jetstream.ErrStreamNotFound) {
		// Another stream may keep the subject next time.
		l.opened = false
	}
	return err
}

func (l *lane) put(ctx context.Context, kind string, e worker.Event) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	if !l.keeper.fenced {
		_, err := l.publisher.publish(ctx, kind, e)
		return err
	}
	found, err := l.standsAlready(ctx, e)
	for !found && err == nil {
		var sequence uint64
		sequence, err = l.publisher.publish(ctx, kind, e, jetstream.WithExpectLastSequencePerSubject(l.tail))
		if err == nil {
			l.pass(sequence, e.Key)
			return nil
		}
		if conflict(err) {
			found, err = l.readOn(ctx, e.Key)
		}
	}
	return err
}

// position returns how far the subject has been read; 0 where nothing is fenced.
func (l *lane) position(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.open(ctx); err != nil {
		return 0, err
	}
	return l.tail, nil
}

// fenced reports whether an event stands once however late it is repeated; only
// after something was published.
func (l *lane) fenced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keeper.fenced
}

// open finds the subject's stream and its end.
func (l *lane) open(ctx context.Context) error {
	if l.opened {
		return nil
	}
	keeper, err := l.publisher.keeper(ctx, l.subject)
	if err != nil {
		return err
	}
	if keeper.fenced {
		tail, err := l.publisher.last(ctx, keeper.stream, l.subject)
		if err != nil {
			return err
		}
		if tail != nil {
			l.tail = tail.sequence
		}
		l.passed.reset(l.tail)
	}
	l.keeper, l.opened = keeper, true
	return nil
}

// standsAlready looks for the event between where its run began and where the
// lane is.
func (l *lane) standsAlready(ctx context.Context, e worker.Event) (bool, error) {
	if l.passed.has(e.Key) {
		return true, nil
	}
	for at := e.Since; at < min(l.tail, l.passed.since); {
		message, err := l.publisher.next(ctx, l.keeper.stream, l.subject, at+1)
		if err != nil || message == nil {
			return false, err
		}
		if message.key == e.Key {
			return true, nil
		}
		at = message.sequence
	}
	return false, nil
}

// readOn reads from the tail to the end of the subject and reports whether the
// key was among what it read.
func (l *lane) readOn(ctx context.Context, key string) (found bool, err error) {
	before := l.tail
	for {
		message, err := l.publisher.next(ctx, l.keeper.stream, l.subject, l.tail+1)
		if err != nil {
			return found, err
		}
		if message == nil {
			break
		}
		found = found || message.key == key
		l.pass(message.sequence, message.key)
	}
	if l.tail == before {
		err = l.find(ctx)
	}
	return found, err
}

// find looks for the subject's end where a publish was refused and nothing is
// to be seen behind the tail: even the leader may not show it at once, or what
// stood at the tail has gone from the stream.
func (l *lane) find(ctx context.Context) error {
	if err := rest(ctx, 5*time.Millisecond+rand.N(20*time.Millisecond)); err != nil {
		return err
	}
	end, err := l.publisher.last(ctx, l.keeper.stream, l.subject)
	if err != nil {
		return err
	}
	switch {
	case end == nil:
		l.tail = 0
	case end.sequence < l.tail:
		l.tail = end.sequence
	}
	return nil
}

// pass notes a message of the subject. A duplicate is answered with the sequence
// of the first, which does not take the tail back.
func (l *lane) pass(sequence uint64, key string) {
	l.tail = max(l.tail, sequence)
	l.passed.add(sequence, key)
}

// rest waits, or returns the context's cause where that comes first.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lanes are the publisher's lanes, one for each legacy subject.
type lanes struct {
	mu        sync.Mutex
	bySubject map[string]*lane
}

func (p *Publisher) lane(subject string) *lane {
	p.lanes.mu.Lock()
	defer p.lanes.mu.Unlock()
	known := p.lanes.bySubject[subject]
	if known == nil {
		known = &lane{publisher: p, subject: subject}
		p.lanes.bySubject[subject] = known
	}
	return known
}

// keeper returns the stream that keeps a subject and whether events there can
// be fenced: whether it keeps everything that its limits allow, as it came, and
// we may read it at its leader.
func (p *Publisher) keeper(ctx context.Context, subject string) (keeper, error) {
	if p.options.Stream == "" {
		return keeper{why: "we may only publish there"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	name, err := p.js.StreamNameBySubject(ctx, subject)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return keeper{}, fmt.Errorf("publish %s: %w", subject, errUncovered)
	}
	if err != nil {
		return keeper{}, fmt.Errorf("look for the stream of %s: %w", subject, err)
	}
	handle, err := p.js.Stream(ctx, name)
	if err != nil {
		return keeper{}, fmt.Errorf("read stream %s: %w", name, err)
	}
	why := whyUnfenced(handle.CachedInfo().Config)
	return keeper{stream: name, fenced: why == "", why: why}, nil
}

// Unfenced returns the legacy subjects whose events are kept single by their
// Nats-Msg-Id alone, each with why.
func (p *Publisher) Unfenced(ctx context.Context) (map[string]string, error) {
	unfenced := map[string]string{}
	for _, subject := range p.options.Subjects.Legacy() {
		keeper, err := p.keeper(ctx, subject)
		if err != nil {
			return nil, err
		}
		if !keeper.fenced {
			unfenced[subject] = keeper.why
			continue
		}
		if err := p.tryRead(ctx, keeper.stream, subject); err != nil {
			return nil, err
		}
	}
	return unfenced, nil
}

// readTries bounds how often a stream is asked at the start that may have no leader
// just now.
const readTries = 4

// tryRead reads a subject's newest message as a lane does: without the right to do
// so no task could begin.
func (p *Publisher) tryRead(ctx context.Context, stream, subject string) error {
	for try := 1; ; try++ {
		_, err := p.last(ctx, stream, subject)
		if try == readTries || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// whyUnfenced says why no event can be fenced in such a stream; empty where it can.
func whyUnfenced(c jetstream.StreamConfig) string {
	switch {
	case c.Retention != jetstream.LimitsPolicy:
		return "its retention is " + c.Retention.String() + ", so messages vanish when they are read"
	case c.SubjectTransform != nil:
		return "it transforms subjects"
	case c.MaxMsgsPerSubject == 1:
		return "it keeps only the last message of a subject"
	default:
		return ""
	}
}
