package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
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
	// Token is the newest claim's own: two claims of one worker differ in it.
	Token string `json:"token,omitempty"`
	// Writes counts what this run's owners have written: whose write the record is
	// where the answer was lost.
	Writes uint64 `json:"writes,omitempty"`
	// FirstClaim is the server's time of the first claim. It is zero in the
	// first claim's own message, whose time it is.
	FirstClaim time.Time `json:"first_claim,omitzero"`
}

// claimTries bounds how often a claim whose answer was lost is looked for.
const claimTries = 3

// Claim makes this worker the owner of the task's run.
func (r *Runs) Claim(ctx context.Context, request worker.ClaimRequest) (worker.Claim, error) {
	c := &claim{runs: r, id: request.TaskID, token: tasks.NewID()}
	err := c.take(ctx, request)
	for try := 1; err != nil && try < claimTries && !isDecided(err) && ctx.Err() == nil; try++ {
		// The answer may be lost and the claim be made all the same: its token says.
		request.Resume = request.Resume || c.isMade(ctx)
		err = c.take(ctx, request)
	}
	if err != nil {
		if !isDecided(err) {
			err = fmt.Errorf("claim the run of %s: %w", request.TaskID, err)
		}
		return nil, err
	}
	return c, nil
}

// isSameTask reports whether two runs of one id are of one request: of one
// message, or, where run-once carries out what a queue holds as well, about the
// same jobs.
func isSameTask(a, b worker.Run) bool {
	if a.Queue != "" && b.Queue != "" {
		return a.Queue == b.Queue
	}
	return slices.Equal(a.Targets, b.Targets)
}

// isDecided reports an answer that asking again does not change.
func isDecided(err error) bool {
	return errors.Is(err, worker.ErrNoRun) || errors.Is(err, worker.ErrHeld) || errors.Is(err, worker.ErrOtherTask)
}

// claim is one claim; its revision is the fence.
type claim struct {
	runs  *Runs
	id    string
	token string

	mu       sync.Mutex
	rec      record
	revision uint64
	age      time.Duration
}

var _ worker.Claim = (*claim)(nil)

// take makes the record at once where it may: most tasks are claimed once, and
// the server says where one was claimed before.
func (c *claim) take(ctx context.Context, request worker.ClaimRequest) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if !request.Resume {
		err := c.first(ctx, request)
		if !isConflict(err) {
			return err
		}
	}
	entry, err := c.runs.bucket.Get(ctx, c.id)
	if errors.Is(err, jetstream.ErrKeyNotFound) && request.Resume {
		return worker.ErrNoRun
	}
	if err != nil {
		return err
	}
	return c.next(ctx, entry, request)
}

// isMade reports whether the record is this very claim's.
func (c *claim) isMade(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	entry, err := c.runs.bucket.Get(ctx, c.id)
	if err != nil {
		return false
	}
	var stored record
	return json.Unmarshal(entry.Value(), &stored) == nil && stored.Token == c.token
}

// first makes the record.
func (c *claim) first(ctx context.Context, request worker.ClaimRequest) error {
	fresh := request.New
	fresh.Claims, fresh.Attempts, fresh.Worker, fresh.Fence = 1, 1, c.runs.worker, request.Fence
	rec := record{Run: fresh, Token: c.token, Writes: 1}
	body, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	revision, err := c.runs.bucket.Create(ctx, c.id, body)
	if err != nil {
		return err
	}
	c.rec, c.revision = rec, revision
	return nil
}

// next takes an existing record over.
func (c *claim) next(ctx context.Context, entry jetstream.KeyValueEntry, request worker.ClaimRequest) error {
	var rec record
	if err := json.Unmarshal(entry.Value(), &rec); err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	if rec.FirstClaim.IsZero() {
		rec.FirstClaim = entry.Created()
	}
	c.rec, c.revision = rec, entry.Revision()
	if rec.Token == c.token {
		c.age = entry.Created().Sub(rec.FirstClaim)
		return nil
	}
	if !request.Resume && !isSameTask(rec.Run, request.New) {
		return worker.ErrOtherTask
	}
	foreign := request.Respect && rec.Worker != c.runs.worker
	fenced := request.Fence > 0 && rec.Fence > request.Fence
	writtenSince := request.Sweep > 0 && entry.Revision() != request.Sweep
	if foreign || fenced || writtenSince {
		return worker.ErrHeld
	}
	rec.Fence = max(rec.Fence, request.Fence)
	// A run-once's task that a queue holds as well has a message from now on.
	rec.Queue = cmp.Or(rec.Queue, request.New.Queue)
	rec.Claims++
	if request.Sweep == 0 {
		rec.Attempts++
	}
	rec.Worker, rec.Token = c.runs.worker, c.token
	if err := c.write(ctx, rec); err != nil {
		return err
	}
	made, err := c.readTime(ctx)
	c.age = made.Sub(c.rec.FirstClaim)
	return err
}

// Run returns the record as last read or written.
func (c *claim) Run() worker.Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rec.Run
}

// Age is the time between the first claim and this one, by the server's clock.
func (c *claim) Age() time.Duration { return max(c.age, 0) }

// Save changes the record by compare-and-set.
func (c *claim) Save(ctx context.Context, change func(*worker.Run)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.save(ctx, change)
	if err != nil && !errors.Is(err, worker.ErrClaimLost) {
		err = fmt.Errorf("save the run of %s: %w", c.id, err)
	}
	return err
}

func (c *claim) save(ctx context.Context, change func(*worker.Run)) error {
	next := c.rec
	change(&next.Run)
	// A run that has its outcome has no deadline any more.
	if next.FirstClaim.IsZero() && next.Outcome == nil {
		made, err := c.readTime(ctx)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return c.saveAgain(ctx, change)
		}
		if err != nil {
			return err
		}
		next.FirstClaim = made
	}
	err := c.write(ctx, next)
	if isConflict(err) {
		return c.saveAgain(ctx, change)
	}
	return err
}

// saveAgain makes the change on top of what stands, where that is an earlier
// write of this claim whose answer was lost.
func (c *claim) saveAgain(ctx context.Context, change func(*worker.Run)) error {
	if err := c.lostOrUnseen(ctx); err != nil {
		return err
	}
	return c.save(ctx, change)
}

// write stores the record where its revision is still ours.
func (c *claim) write(ctx context.Context, next record) error {
	next.Writes++
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	revision, err := c.runs.bucket.Update(ctx, c.id, body, c.revision)
	if err != nil {
		return err
	}
	c.rec, c.revision = next, revision
	return nil
}

// lostTries is how often a record that is not to be seen is looked for: right
// after a conflict even the leader may not show what made it.
const lostTries = 3

// lostOrUnseen reads the record after a conflict. It returns nil where it is
// this claim's, as stored now, and ErrClaimLost where it is not.
func (c *claim) lostOrUnseen(ctx context.Context) error {
	for try := 1; ; try++ {
		entry, err := c.runs.bucket.Get(ctx, c.id)
		switch {
		case err == nil:
			return c.adopt(entry)
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		case try == lostTries:
			return worker.ErrClaimLost
		}
		if err := pause(ctx, time.Duration(try)*20*time.Millisecond); err != nil {
			return err
		}
	}
}

// adopt goes on from the stored record where the claim is still the newest: the
// record is as we know it, or a later write of ours. An earlier one of ours can only
// stand there again where the run has ended, and its first write, given up as lost,
// came to the server after that.
func (c *claim) adopt(entry jetstream.KeyValueEntry) error {
	var stored record
	if err := json.Unmarshal(entry.Value(), &stored); err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	isKnown := entry.Revision() == c.revision || stored.Writes > c.rec.Writes
	if stored.Token != c.token || !isKnown {
		return worker.ErrClaimLost
	}
	if stored.FirstClaim.IsZero() {
		stored.FirstClaim = entry.Created()
	}
	c.rec, c.revision = stored, entry.Revision()
	return nil
}

// Holds returns nil where no other claim has been made.
func (c *claim) Holds(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.lostOrUnseen(ctx)
	if err != nil && !errors.Is(err, worker.ErrClaimLost) {
		err = fmt.Errorf("read the run of %s: %w", c.id, err)
	}
	return err
}

// Delete removes the record by its sequence: where somebody has claimed since,
// theirs has another and stays.
func (c *claim) Delete(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
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

// pause waits, or returns the context's cause where that comes first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isConflict reports a compare-and-set that was refused. Replicated streams
// answer with another code than single ones.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}
