package queue

import (
	"context"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// Unrecorded keeps run records in memory alone, for a process whose rights end
// at the legacy subjects. Nobody else can see or take its runs.
type Unrecorded struct {
	worker string

	mu   sync.Mutex
	runs map[string]*unrecordedClaim
}

var _ worker.Runs = (*Unrecorded)(nil)

// NewUnrecorded returns empty records.
func NewUnrecorded(workerID string) *Unrecorded {
	return &Unrecorded{worker: workerID, runs: map[string]*unrecordedClaim{}}
}

// Claim counts an attempt.
func (u *Unrecorded) Claim(_ context.Context, request worker.ClaimRequest) (worker.Claim, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := request.TaskID
	c, known := u.runs[id]
	if !known && request.Resume {
		return nil, worker.ErrNoRun
	}
	if !known {
		c = &unrecordedClaim{owner: u, id: id, first: time.Now(), run: request.New}
		c.run.Worker, c.run.Claims, c.run.Attempts = u.worker, 0, 0
		u.runs[id] = c
	}
	c.run.Claims++
	c.run.Attempts++
	c.age = time.Since(c.first)
	return c, nil
}

type unrecordedClaim struct {
	owner *Unrecorded
	id    string
	first time.Time
	age   time.Duration

	mu  sync.Mutex
	run worker.Run
}

var _ worker.Claim = (*unrecordedClaim)(nil)

func (c *unrecordedClaim) Run() worker.Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

func (c *unrecordedClaim) Age() time.Duration { return c.age }

// Holds is nil: nobody else can see the run.
func (c *unrecordedClaim) Holds(context.Context) error { return nil }

func (c *unrecordedClaim) Save(_ context.Context, change func(*worker.Run)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.run)
	return nil
}

func (c *unrecordedClaim) Delete(context.Context) error {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	delete(c.owner.runs, c.id)
	return nil
}
