package worker

import (
	"io"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/traces"
)

// progress is the reporter that steps get: it passes on, and keeps which stage
// the task is in and since when.
type progress struct {
	next    tasks.Reporter
	metrics *Metrics
	about   *attempt

	mu    sync.Mutex
	stage tasks.Stage
	since time.Time
	span  *traces.Span
}

var _ tasks.Reporter = (*progress)(nil)

func newProgress(next tasks.Reporter, metrics *Metrics, about *attempt) *progress {
	p := &progress{next: next, metrics: metrics, about: about}
	p.enter(tasks.StageAccept)
	return p
}

// enter begins a stage: in the log, as a span, and on the clock.
func (p *progress) enter(s tasks.Stage) {
	p.stage, p.since = s, time.Now()
	p.about.log.enter(s)
	p.span = p.about.trace.span.Child(string(s), traces.String("dispatchd.step", string(s)))
}

// Stage notes the new stage, and that the one before it went well.
func (p *progress) Stage(s tasks.Stage) {
	p.mu.Lock()
	p.metrics.stage(p.stage, stageDone, time.Since(p.since))
	p.span.End()
	p.enter(s)
	p.mu.Unlock()
	p.next.Stage(s)
}

func (p *progress) Stdout() io.Writer { return p.next.Stdout() }
func (p *progress) Stderr() io.Writer { return p.next.Stderr() }

func (p *progress) current() tasks.Stage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stage
}

// fail marks the span of a stage that ended before the handler was called.
func (p *progress) fail(failure *tasks.Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failSpan(p.span, failure)
}

// close ends the span of the last stage where nobody has yet.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.span.End()
}

// finish notes how the last stage ended.
func (p *progress) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	result := stageDone
	if err != nil {
		result = stageFailed
		failSpan(p.span, tasks.AsFailure(err))
	}
	p.span.End()
	p.metrics.stage(p.stage, result, time.Since(p.since))
}
