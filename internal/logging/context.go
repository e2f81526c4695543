package logging

import (
	"context"

	"go.uber.org/zap"
)

// warnKey is where a context has the log of its task.
type warnKey struct{}

// Into returns a context whose Warn writes with warn, the log of one task.
func Into(ctx context.Context, warn func(text string, fields ...zap.Field)) context.Context {
	return context.WithValue(ctx, warnKey{}, warn)
}

// Warn writes a warning to the log of the context's task, so that the line has
// the task's ids, and to fallback where the context is of no task.
func Warn(ctx context.Context, fallback *zap.Logger, text string, fields ...zap.Field) {
	warn, ok := ctx.Value(warnKey{}).(func(string, ...zap.Field))
	if !ok {
		warn = fallback.Warn
	}
	warn(text, fields...)
}
