package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// seats is how many workers look for orphans at once: one that dies, or has just
// come back, must not cost the others' orphans the time of its lease.
const seats = 3

// seatKey is the lease of one of them.
func seatKey(seat int) string { return "sweep." + strconv.Itoa(seat) }

// Orphanage finds open runs that no message will ever bring back.
type Orphanage struct {
	leases *Leases
	runs   *Runs
	// seat is nil while this worker has none.
	seat *lease
}

var _ worker.Orphanage = (*Orphanage)(nil)

// NewOrphanage looks at the runs and leases of one topology.
func NewOrphanage(leases *Leases, runs *Runs) *Orphanage {
	return &Orphanage{leases: leases, runs: runs}
}

// Lead renews the sweeper's seat, or takes a free one.
func (o *Orphanage) Lead(ctx context.Context) (bool, error) {
	if o.seat != nil && o.seat.Renew(ctx) == nil {
		return true, nil
	}
	o.seat = nil
	for seat := range seats {
		made, err := o.leases.take(ctx, seatKey(seat), Grant{Sweeper: true})
		if taken := (*takenError)(nil); errors.As(err, &taken) {
			continue
		}
		if err != nil {
			return false, err
		}
		o.seat = made
		return true, nil
	}
	return false, nil
}

// Orphans looks for the open runs without a message.
func (o *Orphanage) Orphans(ctx context.Context) (map[string]worker.Sighting, error) {
	ids, err := o.openRuns(ctx)
	if err != nil {
		return nil, err
	}
	look := look{orphanage: o}
	orphans := map[string]worker.Sighting{}
	var unreadable []error
	for _, id := range ids {
		run, revision, err := o.runs.read(ctx, id)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if errors.Is(err, errNoRecord) {
			unreadable = append(unreadable, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		queued, err := look.isQueued(ctx, run.Queue)
		if err != nil {
			return nil, err
		}
		if queued {
			continue
		}
		sign, err := o.sign(ctx, id, run.Targets)
		if err != nil {
			return nil, err
		}
		orphans[id] = worker.Sighting{Revision: revision, Sign: sign}
	}
	return orphans, errors.Join(unreadable...)
}

// Adopt takes the leases of a run's targets, and then looks once more.
func (o *Orphanage) Adopt(ctx context.Context, id string, revision uint64) (worker.Lease, error) {
	run, _, err := o.runs.read(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, worker.ErrNoRun
	}
	if err != nil {
		return nil, err
	}
	taken, err := o.takeFree(ctx, id, run.Targets)
	if err != nil {
		return nil, err
	}
	if err := o.isStillAnOrphan(ctx, id, revision); err != nil {
		return nil, errors.Join(err, taken.Release(context.WithoutCancel(ctx)))
	}
	return taken, nil
}

// adopted are the leases of a run that nobody has.
type adopted struct {
	bundle

	leases *Leases
	id     string
	// busy are the targets that other tasks had.
	busy []string
}

// Renew also asks whether the run's own worker has got one of those that were
// others'.
func (a *adopted) Renew(ctx context.Context) error {
	if err := a.bundle.Renew(ctx); err != nil {
		return err
	}
	for _, target := range a.busy {
		grant, _, err := a.leases.read(ctx, targetKey(target))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if grant.TaskID == a.id {
			return worker.ErrLeaseLost
		}
	}
	return nil
}

// isStillAnOrphan returns nil where nobody has the run and nobody has written its
// record since. It is asked with the leases in hand: what was read before may be old.
func (o *Orphanage) isStillAnOrphan(ctx context.Context, id string, revision uint64) error {
	run, now, err := o.runs.read(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return worker.ErrNoRun
	}
	if err != nil {
		return err
	}
	look := look{orphanage: o}
	queued, err := look.isQueued(ctx, run.Queue)
	if err != nil {
		return err
	}
	once, err := o.once(ctx, id)
	if err == nil && (queued || once > 0 || now != revision) {
		err = worker.ErrHeld
	}
	return err
}

// takeFree takes the leases that no other task has; ErrHeld where the run's own
// worker has one.
func (o *Orphanage) takeFree(ctx context.Context, id string, targets []string) (*adopted, error) {
	taken := &adopted{leases: o.leases, id: id}
	for _, target := range inOrder(targets) {
		one, err := o.leases.take(ctx, targetKey(target), Grant{TaskID: id, Sweeper: true})
		busy := (*takenError)(nil)
		switch {
		case err == nil:
			taken.bundle = append(taken.bundle, one)
		case errors.As(err, &busy) && busy.by.TaskID != id:
			// The job's next task has begun.
			taken.busy = append(taken.busy, target)
		default:
			if busy != nil {
				err = worker.ErrHeld
			}
			return nil, errors.Join(err, taken.Release(context.WithoutCancel(ctx)))
		}
	}
	return taken, nil
}

// openRuns lists the keys of the bucket by the subjects of its stream.
func (o *Orphanage) openRuns(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	prefix := "$KV." + o.leases.topology.Runs() + "."
	info, err := o.runs.stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, fmt.Errorf("list the open runs: %w", err)
	}
	var ids []string
	for subject := range info.State.Subjects {
		ids = append(ids, strings.TrimPrefix(subject, prefix))
	}
	return ids, nil
}

// errNoRecord says that what stands in the bucket of runs is none.
var errNoRecord = errors.New("this is no run record of ours; delete the key")

// read returns the record of one run and its revision.
func (r *Runs) read(ctx context.Context, id string) (worker.Run, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	entry, err := r.bucket.Get(ctx, id)
	if err != nil {
		return worker.Run{}, 0, fmt.Errorf("read the run of %s: %w", id, err)
	}
	var rec record
	if err := json.Unmarshal(entry.Value(), &rec); err != nil {
		return worker.Run{}, 0, fmt.Errorf("read the run of %s: %w: %w", id, errNoRecord, err)
	}
	return rec.Run, entry.Revision(), nil
}

// look asks about several runs at one time.
type look struct {
	orphanage *Orphanage
	// messages is the work queue, once it was asked for: where nobody uses one it
	// does not exist.
	messages jetstream.Stream
}

// isQueued reports whether the run's message is in the queue; a run-once has none.
func (l *look) isQueued(ctx context.Context, subject string) (bool, error) {
	if subject == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if l.messages == nil {
		leases := l.orphanage.leases
		stream, err := leases.js.Stream(ctx, leases.topology.Tasks())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return true, nil // it may be on its way back
		}
		if err != nil {
			return false, fmt.Errorf("read stream %s: %w", leases.topology.Tasks(), err)
		}
		l.messages = stream
	}
	_, err := l.messages.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the message on %s: %w", subject, err)
	}
	return true, nil
}

// sign is the newest sign of life of whoever has the run: the lease of one of its
// targets, or a run-once that is there for it. 0 where there is none.
func (o *Orphanage) sign(ctx context.Context, id string, targets []string) (uint64, error) {
	newest, err := o.once(ctx, id)
	if err != nil {
		return 0, err
	}
	for _, target := range targets {
		grant, sequence, err := o.leases.read(ctx, targetKey(target))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if grant.TaskID == id && !grant.Sweeper {
			newest = max(newest, sequence)
		}
	}
	return newest, nil
}

// once is the sign of life of a run-once for its task: between two attempts it has
// no lease. 0 where there is none.
func (o *Orphanage) once(ctx context.Context, id string) (uint64, error) {
	_, sequence, err := o.leases.read(ctx, onceKey(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	return sequence, err
}
