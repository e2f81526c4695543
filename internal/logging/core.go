package logging

import (
	"encoding/json"
	"maps"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// core hides secrets in what it passes on to the core behind it.
type core struct {
	zapcore.Core
	r *redact.Redactor
}

var _ zapcore.Core = (*core)(nil)

// With adds fields to every entry.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{Core: c.Core.With(c.hideFields(fields)), r: c.r}
}

// Check puts c itself, not the core behind it, in line for the entry.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write passes on one entry.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	// Cleaned first: without its control codes, text may turn out to hold a secret.
	e.Message = c.r.String(redact.CleanLine(e.Message))
	e.Stack = c.r.String(e.Stack)
	return c.Core.Write(e, c.hideFields(fields))
}

func (c *core) hideFields(fields []zapcore.Field) []zapcore.Field {
	hidden := make([]zapcore.Field, 0, len(fields))
	for _, f := range fields {
		hidden = append(hidden, c.hideField(f)...)
	}
	return hidden
}

// hideField returns f without secrets. A field that is no single text (an error
// with details, an inlined object) may become several.
func (c *core) hideField(f zapcore.Field) []zapcore.Field {
	switch f.Type {
	case zapcore.StringType:
		f.String = c.r.String(f.String)
		return []zapcore.Field{f}
	case zapcore.ByteStringType, zapcore.StringerType, zapcore.ErrorType,
		zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType,
		zapcore.BinaryType, zapcore.ReflectType:
		return c.hideValue(f)
	default: // numbers, times and the like
		return []zapcore.Field{f}
	}
}

// hideValue lets zap evaluate the field, which also catches a panicking
// Stringer, and hides what came of it.
func (c *core) hideValue(f zapcore.Field) []zapcore.Field {
	values := zapcore.NewMapObjectEncoder()
	f.AddTo(values)
	fields := make([]zapcore.Field, 0, 1)
	for _, key := range slices.Sorted(maps.Keys(values.Fields)) {
		fields = append(fields, c.hide(key, values.Fields[key]))
	}
	return fields
}

func (c *core) hide(key string, value any) zapcore.Field {
	switch v := value.(type) {
	case string:
		return zap.String(key, c.r.String(v))
	case []byte:
		return zap.Binary(key, c.r.Bytes(v))
	}
	return c.hideReflected(key, value)
}

// hideReflected encodes the value as the encoder will, since only that shows
// what a viewer would see of it.
func (c *core) hideReflected(key string, value any) zapcore.Field {
	text, err := json.Marshal(value)
	if err != nil {
		return zap.String(key, c.r.String(err.Error()))
	}
	hidden := c.r.Bytes(text)
	if !json.Valid(hidden) { // a secret that is a number, say: what is left is text
		return zap.ByteString(key, hidden)
	}
	return zap.Any(key, json.RawMessage(hidden))
}
