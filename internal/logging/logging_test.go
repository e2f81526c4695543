package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/redact"
)

const secret = `s3cr3t "of" <the> house`

type stringer string

func (s stringer) String() string { return "value " + string(s) }

type detailed struct{}

func (detailed) Error() string { return "short " + secret }

func (detailed) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, "long "+secret) }

type object struct{}

func (object) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("password", secret)
	return e.AddReflected("deep", map[string]any{secret: []string{secret}})
}

type panicking struct{ p *int }

func (p *panicking) String() string { return fmt.Sprint(*p.p) }

func newLogger(t *testing.T, format string) (*zap.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	l, err := logging.New(logging.Options{Format: format, Out: &out}, redact.New(secret))
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

func fields() []zap.Field {
	return []zap.Field{
		zap.String("string", "a "+secret), zap.ByteString("bytes", []byte(secret)), zap.Binary("binary", []byte(secret)),
		zap.Error(fmt.Errorf("wrapped: %w", errors.New(secret))), zap.NamedError("detailed", detailed{}),
		zap.Errors("errors", []error{errors.New(secret)}), zap.Stringer("stringer", stringer(secret)),
		zap.Strings("strings", []string{"x", secret}), zap.Object("object", object{}), zap.Inline(object{}),
		zap.Any("any", struct{ Token string }{secret}), zap.Reflect("map", map[string]any{"k": []any{secret}, secret: 1}),
		zap.Any("raw", json.RawMessage(`{"a":"s3cr3t \"of\" <the> house"}`)), zap.Dict("dict", zap.String("s", secret)),
		zap.Any("base64", "dTpzM2NyM3QgIm9mIiA8dGhlPiBob3VzZQ=="),
	}
}

func TestLoggerHidesSecretsInEveryField(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		for _, f := range fields() {
			t.Run(format+" "+f.Key, func(t *testing.T) {
				t.Parallel()
				l, out := newLogger(t, format)
				l.Info("now", f)
				l.With(f).Named("child").Info("before")
				got := out.String()
				if strings.Contains(got, "s3cr3t") || strings.Contains(got, "house") || strings.Contains(got, "NyM3Q") {
					t.Errorf("the secret is in %s", got)
				}
				if strings.Count(got, redact.Mask) < 2 && f.Type != zapcore.BinaryType {
					t.Errorf("the mask is not in %s", got)
				}
			})
		}
	}
}

func TestLoggerHidesSecretsInMessages(t *testing.T) {
	t.Parallel()
	l, out := newLogger(t, "console")
	l.Info("say " + secret + "\nforged line\x1b[2J")
	if got, want := out.String(), "\tsay *** forged line\n"; !strings.HasSuffix(got, want) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one line that ends with %q", got, want)
	}
}

func TestLoggerKeepsOtherFieldsAsTheyAre(t *testing.T) {
	t.Parallel()
	observed, logs := observer.New(zapcore.InfoLevel)
	l := logging.WithRedactor(zap.New(observed), redact.New(secret))
	l.Info("m", zap.Int("int", 3), zap.Duration("d", time.Second), zap.Bool("b", true), zap.Namespace("ns"),
		zap.String("s", "x"), zap.Error(nil), zap.Strings("list", []string{"a"}), zap.Stringer("nil", (*panicking)(nil)))
	want := map[string]any{"int": int64(3), "d": time.Second, "b": true, "ns": map[string]any{
		"s": "x", "list": json.RawMessage(`["a"]`), "nil": "<nil>",
	}}
	if diff := cmp.Diff(want, logs.All()[0].ContextMap()); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestLoggerWritesJSONThatParses(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l, err := logging.New(logging.Options{Out: &out}, redact.New("1234567"))
	if err != nil {
		t.Fatal(err)
	}
	l.Info("m", zap.Any("number", map[string]int{"n": 1234567}), zap.Any("bad", func() {}), zap.Any("text", map[string]string{"k": "x1234567"}))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if got, want := fmt.Sprintf("%v %v", got["number"], got["text"]), `{"n":***} map[k:x***]`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithRedactorHidesTheTasksSecretsToo(t *testing.T) {
	t.Parallel()
	l, out := newLogger(t, "json")
	task := logging.WithRedactor(l, redact.New("task-token"))
	task.Info("both", zap.String("a", "task-token"), zap.String("b", secret))
	l.Info("parent task-token")
	if got := strings.Count(out.String(), "task-token"); got != 1 {
		t.Errorf("task-token is seen %d times, want only by the parent: %s", got, out.String())
	}
	if strings.Contains(out.String(), "s3cr3t") {
		t.Errorf("the parent's secret is in %s", out.String())
	}
}

func TestNewRefusesUnknownOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		o    logging.Options
		want string
	}{
		{logging.Options{Level: "loud"}, `log level "loud": want debug, info, warn or error`},
		{logging.Options{Format: "xml"}, `log format "xml": want json or console`},
	} {
		if _, err := logging.New(tc.o, redact.New()); err == nil || err.Error() != tc.want {
			t.Errorf("New(%+v): got %v, want %s", tc.o, err, tc.want)
		}
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l, err := logging.New(logging.Options{Level: "warn", Out: &out}, redact.New())
	if err != nil {
		t.Fatal(err)
	}
	l.Info("quiet")
	l.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Errorf("got %q", got)
	}
}
