package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// Runs keeps the run records in a bucket: one key for each open run.
type Runs struct {
	bucket jetstream.KeyValue
	stream jetstream.Stream
	worker string
}

var _ worker.Runs = (*Runs)(nil)

// NewRuns binds to the bucket, which Ensure… has made. The worker's name is
// written into each claim.
func NewRuns(ctx context.Context, js jetstream.JetStream, t Topology, workerID string) (*Runs, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	bucket, err := js.KeyValue(ctx, t.Runs())
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", t.Runs(), err)
	}
	stream, err := js.Stream(ctx, "KV_"+t.Runs())
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", t.Runs(), err)
	}
	return &Runs{bucket: bucket, stream: stream, worker: workerID}, nil
}

// record is what the bucket holds.
type record struct {
	worker.Run
	// FirstClaim is the server's time of the first claim. It is zero in the
	// first claim's own message, whose time it is.
	FirstClaim time.Time `json:"first_claim,omitzero"`
}

// Claim makes this worker the owner of the task's run.
func (r *Runs) Claim(ctx context.Context, id string, resume bool) (worker.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	claim, err := r.claim(ctx, id, resume)
	if err != nil && !errors.Is(err, worker.ErrNoRun) {
		err = fmt.Errorf("claim the run of %s: %w", id, err)
	}
	if err != nil {
		return nil, err
	}
	return claim, nil
}

// claim makes the record at once where it may: most tasks are claimed once, and
// the server says where one was claimed before.
func (r *Runs) claim(ctx context.Context, id string, resume bool) (*claim, error) {
	if !resume {
		made, err := r.first(ctx, id)
		if !isConflict(err) {
			return made, err
		}
	}
	entry, err := r.bucket.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) && resume {
		return nil, worker.ErrNoRun
	}
	if err != nil {
		return nil, err
	}
	return r.next(ctx, entry)
}

// first makes the record.
func (r *Runs) first(ctx context.Context, id string) (*claim, error) {
	c := &claim{runs: r, id: id, rec: record{Run: worker.Run{Claims: 1, Attempts: 1, Worker: r.worker}}}
	body, err := json.Marshal(c.rec)
	if err != nil {
		return nil, err
	}
	if c.revision, err = r.bucket.Create(ctx, id, body); err != nil {
		return nil, err
	}
	made, err := c.readTime(ctx)
	c.rec.FirstClaim = made
	return c, err
}

// next takes an existing record over.
func (r *Runs) next(ctx context.Context, entry jetstream.KeyValueEntry) (*claim, error) {
	c := &claim{runs: r, id: entry.Key(), revision: entry.Revision()}
	if err := json.Unmarshal(entry.Value(), &c.rec); err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	if c.rec.FirstClaim.IsZero() {
		c.rec.FirstClaim = entry.Created()
	}
	err := c.save(ctx, func(run *worker.Run) {
		run.Claims++
		run.Attempts++
		run.Worker = r.worker
	})
	if err != nil {
		return nil, err
	}
	made, err := c.readTime(ctx)
	c.age = made.Sub(c.rec.FirstClaim)
	return c, err
}

// claim is one claim; its revision is the fence.
type claim struct {
	runs     *Runs
	id       string
	rec      record
	revision uint64
	age      time.Duration
}

var _ worker.Claim = (*claim)(nil)

// Run returns the record as last read or written.
func (c *claim) Run() worker.Run { return c.rec.Run }

// Age is the time between the first claim and this one, by the server's clock.
func (c *claim) Age() time.Duration { return max(c.age, 0) }

// Save changes the record by compare-and-set.
func (c *claim) Save(ctx context.Context, change func(*worker.Run)) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.save(ctx, change); err != nil {
		if errors.Is(err, worker.ErrClaimLost) {
			return err
		}
		return fmt.Errorf("save the run of %s: %w", c.id, err)
	}
	return nil
}

func (c *claim) save(ctx context.Context, change func(*worker.Run)) error {
	next := c.rec
	change(&next.Run)
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	revision, err := c.runs.bucket.Update(ctx, c.id, body, c.revision)
	if isConflict(err) {
		if again, err := c.afterConflict(ctx, body, next); !again {
			return err
		}
		return c.save(ctx, change)
	}
	if err != nil {
		return err
	}
	c.rec, c.revision = next, revision
	return nil
}

// afterConflict tells a write of our own whose answer was lost, this one or an
// earlier one, from somebody else's claim. It returns true where the change
// must be made again, on top of what stands.
func (c *claim) afterConflict(ctx context.Context, body []byte, next record) (again bool, err error) {
	entry, err := c.runs.bucket.Get(ctx, c.id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, worker.ErrClaimLost
	}
	if err != nil {
		return false, err
	}
	if string(entry.Value()) == string(body) {
		c.rec, c.revision = next, entry.Revision()
		return false, nil
	}
	var stored record
	if err := json.Unmarshal(entry.Value(), &stored); err != nil {
		return false, fmt.Errorf("read the record: %w", err)
	}
	if stored.Claims != c.rec.Claims || stored.Worker != c.rec.Worker {
		return false, worker.ErrClaimLost
	}
	if stored.FirstClaim.IsZero() {
		stored.FirstClaim = c.rec.FirstClaim
	}
	c.rec, c.revision = stored, entry.Revision()
	return true, nil
}

// Delete removes the record by its sequence: where somebody has claimed since,
// theirs has another and stays.
func (c *claim) Delete(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.runs.stream.DeleteMsg(ctx, c.revision)
	if err == nil || c.isGone(ctx) {
		return nil
	}
	return fmt.Errorf("delete the run of %s: %w", c.id, err)
}

// isGone reports whether the claim's message is not there any more. The answer
// to a delete does not tell that from other errors.
func (c *claim) isGone(ctx context.Context) bool {
	_, err := c.runs.stream.GetMsg(ctx, c.revision)
	return errors.Is(err, jetstream.ErrMsgNotFound)
}

// readTime returns the server's time of the claim's message.
func (c *claim) readTime(ctx context.Context) (time.Time, error) {
	msg, err := c.runs.stream.GetMsg(ctx, c.revision)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of the claim: %w", err)
	}
	return msg.Time, nil
}

// isConflict reports a compare-and-set that was refused. Replicated streams
// answer with another code than single ones.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}
