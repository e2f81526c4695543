package worker

import (
	"sync"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// taskLog is the log of one delivery. Every line carries the task's ids, the
// attempt (0 until the run is claimed) and the step that the task is in. It is
// safe for concurrent use.
type taskLog struct {
	base *zap.Logger

	mu      sync.Mutex
	attempt int
	step    tasks.Stage
}

func newTaskLog(base *zap.Logger) *taskLog { return &taskLog{base: base, step: tasks.StageAccept} }

// claimed notes which attempt this is.
func (l *taskLog) claimed(attempt int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempt = attempt
}

// enter notes which step the task is in.
func (l *taskLog) enter(step tasks.Stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step = step
}

// Debug, Info, Warn and Error write one line of the step that the task is in.
func (l *taskLog) Debug(text string, fields ...zap.Field) { l.now().Debug(text, fields...) }
func (l *taskLog) Info(text string, fields ...zap.Field)  { l.now().Info(text, fields...) }
func (l *taskLog) Warn(text string, fields ...zap.Field)  { l.now().Warn(text, fields...) }
func (l *taskLog) Error(text string, fields ...zap.Field) { l.now().Error(text, fields...) }

func (l *taskLog) now() *zap.Logger { return l.at("") }

// at is the log of one step; of the current one where step is empty.
func (l *taskLog) at(step tasks.Stage) *zap.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if step == "" {
		step = l.step
	}
	return l.base.With(zap.String("step", string(step)), zap.Int("attempt", l.attempt))
}
