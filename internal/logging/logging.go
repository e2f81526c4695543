package logging

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// Options say how the log looks and where it goes.
type Options struct {
	// Level is debug, info, warn or error; empty means info.
	Level string
	// Format is json or console; empty means json.
	Format string
	// Out takes one line for each entry. It need not be safe for concurrent use.
	Out io.Writer
}

// New returns a logger that hides what r hides.
func New(o Options, r *redact.Redactor) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", o.Level)
		}
	}
	encoder, err := newEncoder(o.Format)
	if err != nil {
		return nil, err
	}
	out := zapcore.Lock(zapcore.AddSync(o.Out))
	return WithRedactor(zap.New(zapcore.NewCore(encoder, out, level)), r), nil
}

func newEncoder(format string) (zapcore.Encoder, error) {
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	switch format {
	case "", "json":
		return zapcore.NewJSONEncoder(c), nil
	case "console":
		c.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		return zapcore.NewConsoleEncoder(c), nil
	}
	return nil, fmt.Errorf("log format %q: want json or console", format)
}

// WithRedactor returns a child of l that hides what r hides too, in its
// messages and in the fields that are added from here on.
func WithRedactor(l *zap.Logger, r *redact.Redactor) *zap.Logger {
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return &core{Core: c, r: r}
	}))
}
