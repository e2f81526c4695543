package natsconn

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// maxViolations is how many subjects are remembered: more would only be a
// program that tries them all.
const maxViolations = 1000

// Violations remembers which subjects the server has refused us, and when. The
// zero value is ready, and safe for concurrent use.
type Violations struct {
	mu   sync.Mutex
	last map[PermissionError]time.Time
	// changed is closed, and made anew, with every violation.
	changed chan struct{}
}

// Since returns the violation of a subject that came at or after t, or nil.
func (v *Violations) Since(subject string, t time.Time) *PermissionError {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.since(subject, t)
}

// Await waits for a violation of a subject at or after t. It returns nil when
// the context ends first.
func (v *Violations) Await(ctx context.Context, subject string, t time.Time) *PermissionError {
	for {
		found, changed := v.look(subject, t)
		if found != nil {
			return found
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Explain returns the error of a request on a subject that began at start, with
// the violation that is behind it where there was one: a refusal of the subject
// since then, or at any time of the inbox to which the answer would have come.
func (v *Violations) Explain(err error, subject string, start time.Time) error {
	if err == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if found := v.since(subject, start); found != nil {
		return fmt.Errorf("%w: %w", found, err)
	}
	for p := range v.last {
		if p.Operation == OpSubscribe && strings.HasPrefix(p.Subject, inboxPrefix) {
			return fmt.Errorf("no answer can reach us: %w: %w", &p, err)
		}
	}
	return err
}

func (v *Violations) look(subject string, t time.Time) (*PermissionError, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.since(subject, t), v.changed
}

func (v *Violations) since(subject string, t time.Time) *PermissionError {
	for _, operation := range []string{OpPublish, OpSubscribe} {
		p := PermissionError{Subject: subject, Operation: operation}
		if at, found := v.last[p]; found && !at.Before(t) {
			return &p
		}
	}
	return nil
}

func (v *Violations) add(p *PermissionError) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == nil {
		v.last = map[PermissionError]time.Time{}
	}
	if _, known := v.last[*p]; !known && len(v.last) >= maxViolations {
		v.forgetOldest()
	}
	v.last[*p] = time.Now()
	if v.changed != nil {
		close(v.changed)
	}
	v.changed = make(chan struct{})
}

func (v *Violations) forgetOldest() {
	var oldest PermissionError
	var when time.Time
	for p, at := range v.last {
		if when.IsZero() || at.Before(when) {
			oldest, when = p, at
		}
	}
	delete(v.last, oldest)
}
