package queue

import (
	"maps"
	"sync"
	"time"
)

const (
	// crowdFor is how long what was seen of a job's line counts: less than the
	// shortest wait, so that who waits asks the server each time.
	crowdFor = time.Second
	// maxCrowds is how many lines are remembered before those are forgotten
	// whose time is over.
	maxCrowds = 256
)

// crowds remembers for a moment who stands at the front of a job's line, so that
// tens of thousands behind them need not all ask.
type crowds struct {
	mu       sync.Mutex
	byTarget map[string]crowd
}

// crowd is the front of a line: who goes first, the fence of the lease that says
// so, and who is next after that.
type crowd struct {
	first Grant
	fence uint64
	next  uint64
	until time.Time
}

// saw notes the front of a line.
func (c *crowds) saw(target string, first Grant, fence, next uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.byTarget) >= maxCrowds {
		maps.DeleteFunc(c.byTarget, func(_ string, old crowd) bool { return now.After(old.until) })
	}
	if c.byTarget == nil {
		c.byTarget = map[string]crowd{}
	}
	c.byTarget[target] = crowd{first: first, fence: fence, next: next, until: now.Add(crowdFor)}
}

// before returns who goes first where a message certainly stood behind at least
// two others a moment ago.
func (c *crowds) before(target string, own uint64) (front crowd, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, known := c.byTarget[target]
	if !known || own <= seen.next || time.Now().After(seen.until) {
		return crowd{}, false
	}
	return seen, true
}
