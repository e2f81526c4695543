package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Leases keeps who may change what: one key for each target, which the server
// drops unless it is renewed. Every read is the leader's.
type Leases struct {
	js       jetstream.JetStream
	stream   jetstream.Stream
	topology Topology
	worker   string
	// instance tells two processes apart that somebody gave one worker's name.
	instance string
	// lasts is how long a lease is ours for certain, by our own clock.
	lasts time.Duration
}

// NewLeases binds to the bucket, which Ensure… has made.
func NewLeases(ctx context.Context, js jetstream.JetStream, t Topology, workerID string) (*Leases, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, "KV_"+t.Leases())
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", t.Leases(), err)
	}
	lasts := t.Pace.withDefaults().LeaseTTL - t.Pace.margin()
	return &Leases{js: js, stream: stream, topology: t, worker: workerID, instance: tasks.NewID(), lasts: lasts}, nil
}

// Beat is the time between two renewals, a third of what a lease lasts.
func (l *Leases) Beat() time.Duration { return l.topology.Pace.Beat() }

// Grant is who has a lease, as it stands in the bucket.
type Grant struct {
	TaskID string `json:"task_id"`
	Worker string `json:"worker"`
	// Instance is the worker's process.
	Instance string `json:"instance,omitempty"`
	// Sequence is that of the task's message in the queue; 0 where it has none.
	Sequence uint64 `json:"sequence,omitempty"`
	// Sweeper is true where the task is about to be ended by who has found it
	// without a worker.
	Sweeper bool `json:"sweeper,omitempty"`
}

// takenError says that somebody has the lease, and under which sequence.
type takenError struct {
	by    Grant
	fence uint64
}

func (e *takenError) Error() string { return "leased to task " + e.by.TaskID }

// takeTries bounds how often a lease that was taken a moment ago, and is not to
// be seen, is asked for again.
const takeTries = 4

// take makes the lease, or returns a *takenError.
func (l *Leases) take(ctx context.Context, key string, to Grant) (*lease, error) {
	to.Worker, to.Instance = l.worker, l.instance
	body, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	made := &lease{leases: l, key: key, body: body}
	expected := uint64(0)
	for range takeTries {
		err = made.write(ctx, expected)
		if !isConflict(err) {
			break
		}
		by, standing, readErr := l.read(ctx, key)
		isGone := errors.Is(readErr, jetstream.ErrMsgNotFound)
		switch {
		case readErr != nil && !isGone:
			return nil, fmt.Errorf("read the lease %s: %w", key, readErr)
		case !isGone && by != to:
			return nil, &takenError{by: by, fence: standing}
		}
		// It has just ended, even the leader does not show it yet, or a try of ours
		// stands whose answer was lost.
		expected = standing
	}
	if err != nil {
		return nil, fmt.Errorf("take the lease %s: %w", key, err)
	}
	made.fence = made.sequence
	return made, nil
}

// read returns the grant that stands and its sequence. Where somebody has deleted
// the key with a tool, that has left a marker, whose sequence comes with
// jetstream.ErrMsgNotFound.
func (l *Leases) read(ctx context.Context, key string) (Grant, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	msg, err := l.stream.GetLastMsgForSubject(ctx, l.subject(key))
	if err != nil {
		return Grant{}, 0, err
	}
	if IsMarker(msg.Header) {
		return Grant{}, msg.Sequence, jetstream.ErrMsgNotFound
	}
	var grant Grant
	if err := json.Unmarshal(msg.Data, &grant); err != nil {
		return Grant{}, 0, fmt.Errorf("read the lease %s: %w", key, err)
	}
	return grant, msg.Sequence, nil
}

func (l *Leases) subject(key string) string { return "$KV." + l.topology.Leases() + "." + key }

// targetKey is the lease of a job; both kinds of name make a token.
func targetKey(job string) string { return "target." + tasks.TargetToken(job) }

// lease is one key that is ours until it ends.
type lease struct {
	leases *Leases
	key    string
	body   []byte
	// sequence is that of our last write.
	sequence uint64
	// fence is the sequence of the write that took the lease, last where it was taken
	// again.
	fence uint64
	// until is when our own clock, the monotonic one, ends the lease.
	until atomic.Pointer[time.Time]
}

var _ worker.Lease = (*lease)(nil)

// write stores the grant where the key's last sequence is the one expected.
func (l *lease) write(ctx context.Context, expected uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	msg := nats.NewMsg(l.leases.subject(l.key))
	msg.Data = l.body
	until := time.Now().Add(l.leases.lasts)
	ack, err := l.leases.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(expected))
	if err != nil {
		return err
	}
	l.sequence = ack.Sequence
	l.until.Store(&until)
	return nil
}

// Renew writes the grant again by compare-and-set. Where another write of ours
// stands, the lease may have been somebody else's before that: a write that was
// given up may come to the server at any time.
func (l *lease) Renew(ctx context.Context) error {
	err := l.write(ctx, l.sequence)
	if !isConflict(err) {
		return l.wrap("renew", err)
	}
	if _, err := l.own(ctx); err != nil {
		return err
	}
	return worker.ErrLeaseGone
}

// own returns where a write of ours stands that we know nothing of, after a
// conflict; ErrLeaseGone where nothing stands, with the sequence of a marker if there
// is one, ErrLeaseLost where somebody else has the lease.
func (l *lease) own(ctx context.Context) (uint64, error) {
	grant, sequence, err := l.leases.read(ctx, l.key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return sequence, worker.ErrLeaseGone
	}
	if err != nil {
		return 0, l.wrap("read", err)
	}
	if own, err := json.Marshal(grant); err != nil || string(own) != string(l.body) {
		return 0, worker.ErrLeaseLost
	}
	return sequence, nil
}

// Retake makes a lease again that has ended, or goes on from a write of ours that
// we knew nothing of.
func (l *lease) Retake(ctx context.Context) error {
	err := l.write(ctx, 0)
	if isConflict(err) {
		var standing uint64
		standing, err = l.own(ctx)
		if errors.Is(err, worker.ErrLeaseLost) {
			return err
		}
		if err == nil || standing > 0 {
			err = l.write(ctx, standing)
		}
	}
	if err != nil {
		return fmt.Errorf("retake the lease %s: %w", l.key, err)
	}
	l.fence = l.sequence
	return nil
}

// Fence is the sequence under which the lease was taken.
func (l *lease) Fence() uint64 { return l.fence }

// Valid reports whether the server has the lease yet for certain.
func (l *lease) Valid() bool {
	until := l.until.Load()
	return until != nil && time.Now().Before(*until)
}

// Release deletes the key by our own sequence: a lease of somebody else has
// another and stays.
func (l *lease) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	l.until.Store(nil)
	if err := l.leases.stream.DeleteMsg(ctx, l.sequence); err != nil {
		if _, gone := l.leases.stream.GetMsg(ctx, l.sequence); errors.Is(gone, jetstream.ErrMsgNotFound) {
			return nil
		}
		return l.wrap("release", err)
	}
	return nil
}

func (l *lease) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the lease %s: %w", what, l.key, err)
}

// bundle is the leases of a task with several targets.
type bundle []*lease

var _ worker.Lease = bundle(nil)

// each calls do for every lease and returns the worst of the errors: one that is
// lost loses the task.
func (b bundle) each(do func(*lease) error) error {
	var worst error
	for _, l := range b {
		err := do(l)
		if err != nil && !errors.Is(worst, worker.ErrLeaseLost) {
			worst = err
		}
	}
	return worst
}

// Renew renews them all.
func (b bundle) Renew(ctx context.Context) error {
	return b.each(func(l *lease) error { return l.Renew(ctx) })
}

// Retake takes those again that have ended.
func (b bundle) Retake(ctx context.Context) error {
	return b.each(func(l *lease) error {
		if err := l.Renew(ctx); !errors.Is(err, worker.ErrLeaseGone) {
			return err
		}
		return l.Retake(ctx)
	})
}

// Fence is the latest of them.
func (b bundle) Fence() uint64 {
	var latest uint64
	for _, l := range b {
		latest = max(latest, l.fence)
	}
	return latest
}

// Valid reports whether all of them are.
func (b bundle) Valid() bool {
	for _, l := range b {
		if !l.Valid() {
			return false
		}
	}
	return true
}

// Release gives them all up.
func (b bundle) Release(ctx context.Context) error {
	return b.each(func(l *lease) error { return l.Release(ctx) })
}
