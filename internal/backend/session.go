package backend

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// maxWaiting is how many updates wait for a slow API: two for each step, the
	// success, and some for steps that were begun again.
	maxWaiting = 16
	// maxMessage is the most that a failure's text takes, in bytes.
	maxMessage = 1024
)

// session is one attempt. Its goroutine sends the updates one after the other.
type session struct {
	api    *api
	about  tasks.PlatformTask
	cancel context.CancelFunc
	// warn tells the operator, in the log of the attempt.
	warn func(error)
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	waiting []call
	closing bool
	// silent is true once a call had no answer: nothing is asked any more.
	silent bool
	warned bool
	// patience is how long the attempt may still be held up.
	patience time.Duration
}

// Open starts the attempt's goroutine, which Close ends.
func (c *Client) Open(ctx context.Context, about tasks.PlatformTask) tasks.PlatformSession {
	a := c.open(about)
	if a == nil {
		return nil
	}
	attempt := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &session{
		warn: func(err error) { c.opts.Warn(attempt, err) },

		api: a, about: about, cancel: cancel, patience: c.opts.Patience,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return s
}

var errGivenUp = errors.New("the platform's API did not answer before and is not asked again")

// Domain asks for a domain, for as long as the attempt may be held up.
func (s *session) Domain(ctx context.Context) (string, error) {
	s.mu.Lock()
	silent, limit := s.silent, min(s.patience, s.api.client.opts.Timeout)
	s.mu.Unlock()
	if silent || limit <= 0 {
		return "", errGivenUp
	}
	began := time.Now()
	domain, err := s.api.domain(ctx, s.about.ServiceID, limit)
	s.mu.Lock()
	s.patience -= time.Since(began)
	s.mu.Unlock()
	if ctx.Err() == nil {
		s.note(err)
	}
	return domain, err
}

// Step queues an update.
func (s *session) Step(step tasks.PlatformStep, status tasks.PlatformStatus, message string) {
	s.push(stepCall(stepBody{
		DeploymentID: s.about.DeploymentID, DeploymentType: s.about.DeploymentType,
		Step: step, Status: status, Error: s.oneLine(message),
	}))
}

// Succeeded queues the service's update.
func (s *session) Succeeded() { s.push(serviceCall(s.about.ServiceID)) }

// oneLine is cleaned first: without its control codes, text may turn out to
// hold a secret.
func (s *session) oneLine(text string) string {
	text = strings.Join(strings.Fields(redact.CleanLine(text)), " ")
	if s.about.Redactor != nil {
		text = s.about.Redactor.String(text)
	}
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
}

// push queues a call; of too many the oldest is given up, the latest matter.
func (s *session) push(c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent || s.closing {
		return
	}
	if len(s.waiting) == maxWaiting {
		s.waiting = s.waiting[1:]
	}
	s.waiting = append(s.waiting, c)
	s.poke()
}

func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run sends what is queued until the session is closed or given up.
func (s *session) run(ctx context.Context) {
	for {
		c, more := s.take()
		if !more {
			return
		}
		if c == nil {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		_, err := s.api.do(ctx, *c, s.api.client.opts.Timeout)
		if ctx.Err() != nil {
			return
		}
		s.note(err)
	}
}

// take returns the next call, nil where there is none yet; more is false where
// there will be none.
func (s *session) take() (next *call, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent || len(s.waiting) == 0 {
		return nil, !s.silent && !s.closing
	}
	next = &s.waiting[0]
	s.waiting = s.waiting[1:]
	return next, true
}

// note keeps that a call had no answer, and warns once.
func (s *session) note(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	warn := !s.warned
	s.warned = true
	s.silent = s.silent || errors.Is(err, errSilent)
	s.poke()
	s.mu.Unlock()
	if warn {
		s.warn(err)
	}
}

// Close waits for the queue, for as long as the attempt may be held up.
func (s *session) Close() {
	s.mu.Lock()
	s.closing = true
	patience := s.patience
	s.poke()
	s.mu.Unlock()
	timer := time.NewTimer(max(0, patience))
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		s.warn(errors.New("the platform's API was too slow for the last updates of " + s.about.DeploymentID))
	}
	s.cancel()
	<-s.done
}
