package nomad_test

import (
	"bytes"
	"flag"
	"io"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestMain(m *testing.M) {
	// The tests wait more than they compute: graces, blocking queries, time-outs.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// reporter keeps what a call reported; it is safe for concurrent use.
type reporter struct {
	mu       sync.Mutex
	out, err bytes.Buffer
	split    int
}

func (r *reporter) Stage(tasks.Stage) {}

func (r *reporter) Stdout() io.Writer { return &lineWriter{r, &r.out} }

func (r *reporter) Stderr() io.Writer { return &lineWriter{r, &r.err} }

type lineWriter struct {
	r   *reporter
	buf *bytes.Buffer
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if !bytes.HasSuffix(p, []byte("\n")) || bytes.Count(p, []byte("\n")) != 1 {
		w.r.split++
	}
	return w.buf.Write(p)
}

func (r *reporter) stdout() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func (r *reporter) stderr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err.String()
}

// wantLines fails for each text that the output lacks.
func wantLines(t *testing.T, name, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("%s lacks %q; it is:\n%s", name, text, output)
		}
	}
}

// wantFailure checks the reason and what the message says.
func wantFailure(t *testing.T, err error, reason tasks.Reason, parts ...string) *tasks.Failure {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want a failure with reason %s", reason)
	}
	failure := tasks.AsFailure(err)
	if failure.Reason != reason {
		t.Fatalf("got reason %s (%v; cause %v), want %s", failure.Reason, failure.Message, failure.Err, reason)
	}
	for _, part := range parts {
		if !strings.Contains(failure.Message, part) {
			t.Errorf("got message %q, want %q in it", failure.Message, part)
		}
	}
	return failure
}
