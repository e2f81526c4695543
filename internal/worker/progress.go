package worker

import (
	"io"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// progress is the reporter that steps get: it passes on, and keeps which stage
// the task is in and since when.
type progress struct {
	next    tasks.Reporter
	kind    tasks.Kind
	metrics *Metrics

	mu    sync.Mutex
	stage tasks.Stage
	since time.Time
}

var _ tasks.Reporter = (*progress)(nil)

func newProgress(next tasks.Reporter, kind tasks.Kind, metrics *Metrics) *progress {
	return &progress{next: next, kind: kind, metrics: metrics, stage: tasks.StageAccept, since: time.Now()}
}

// Stage notes the new stage, and that the one before it went well.
func (p *progress) Stage(s tasks.Stage) {
	p.mu.Lock()
	p.metrics.stage(p.stage, stageDone, time.Since(p.since))
	p.stage, p.since = s, time.Now()
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

// finish notes how the last stage ended.
func (p *progress) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	result := stageDone
	if err != nil {
		result = stageFailed
	}
	p.metrics.stage(p.stage, result, time.Since(p.since))
}
