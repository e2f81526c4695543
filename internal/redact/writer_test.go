package redact_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// stream sends text through a Writer in chunks of n bytes.
func stream(tb testing.TB, r *redact.Redactor, text string, n int) string {
	tb.Helper()
	var out bytes.Buffer
	w := r.Writer(&out)
	for len(text) > 0 {
		chunk := text[:min(n, len(text))]
		if got, err := w.Write([]byte(chunk)); got != len(chunk) || err != nil {
			tb.Fatalf("Write(%q) = %d, %v", chunk, got, err)
		}
		text = text[len(chunk):]
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

func TestWriterHidesSplitSecrets(t *testing.T) {
	t.Parallel()
	r := redact.New("s3cr3t-of-the-house", "s3cr3t-of-the-garden")
	text := "a s3cr3t-of-the-house b s3cr3t-of-the-gard c\ns3cr3t-of-the-gardens s3cr"
	want := "a *** b s3cr3t-of-the-gard c\n***s s3cr"
	for n := 1; n <= len(text); n++ {
		if got := stream(t, r, text, n); got != want {
			t.Errorf("chunks of %d: got %q, want %q", n, got, want)
		}
	}
}

func TestWriterHoldsBackOnlyWhatMayBeASecret(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := redact.New("s3cr3t-word").Writer(&out)
	for _, step := range []struct{ write, want string }{
		{"step 1\n", "step 1\n"},
		{"is s3cr3", "is "},
		{"t-wo", ""},
		{"od\n", "s3cr3t-wood\n"},
		{" s3cr3t-word", " ***"},
		{" s", " "},
	} {
		out.Reset()
		if _, err := w.Write([]byte(step.write)); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != step.want {
			t.Errorf("Write(%q) passed on %q, want %q", step.write, got, step.want)
		}
	}
	out.Reset()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "s"; got != want {
		t.Errorf("Flush passed on %q, want %q", got, want)
	}
}

func TestWriterCounts(t *testing.T) {
	t.Parallel()
	r := redact.New("s3cr3t-word")
	child := r.With("other-word")
	stream(t, child, "s3cr3t-word other-word s3cr3t-word", 3)
	if got, want := r.Hits(), uint64(3); got != want {
		t.Errorf("Hits() = %d, want %d", got, want)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriterReportsTheErrorBehindIt(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk full")
	w := redact.New("s3cr3t-word").Writer(brokenWriter{errDisk})
	for range 2 {
		if _, err := w.Write([]byte("x\n")); !errors.Is(err, errDisk) {
			t.Errorf("Write: got %v, want %v", err, errDisk)
		}
	}
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: got %v, want %v", err, errDisk)
	}
}

func BenchmarkString64KiB(b *testing.B) {
	r, line := benchmarkInput()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		r.String(line)
	}
}

func BenchmarkWriter64KiB(b *testing.B) {
	r, line := benchmarkInput()
	w := r.Writer(io.Discard)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		_, _ = w.Write([]byte(line))
	}
}

func BenchmarkWith(b *testing.B) {
	r, _ := benchmarkInput()
	for b.Loop() {
		r.With("one-more-secret-of-a-task")
	}
}

func benchmarkInput() (*redact.Redactor, string) {
	var secrets []string
	for i := range 50 {
		secrets = append(secrets, "ghp_"+strings.Repeat(string(rune('a'+i%26)), 30)+string(rune('A'+i/26)))
	}
	const text = "#12 [build 4/9] RUN go build ./... ghp_abc example.org/acme/api v1.2.3 sha256:0123456789abcdef\n"
	line := strings.Repeat(text, 1+64<<10/len(text))[:64<<10]
	return redact.New(secrets...), line
}

func TestAddReachesOpenStreams(t *testing.T) {
	t.Parallel()
	r := redact.New("first-secret")
	child := r.With()
	var out strings.Builder
	w := r.Writer(&out)
	write := func(s string) {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("second-secret ")
	r.Add("second-secret", "second-secret")
	write("first-secret second-")
	write("secret c2Vjb25kLXNlY3JldA==\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "second-secret *** *** ***\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
	if got := child.String("second-secret"); got != "second-secret" {
		t.Errorf("the child shows %q: Add is not to reach it", got)
	}
}

func TestAddBesideReaders(t *testing.T) {
	t.Parallel()
	r := redact.New()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			secret := fmt.Sprintf("secret-number-%d", i)
			r.Add(secret)
			if got := r.String(secret); got != redact.Mask {
				t.Errorf("%s is shown as %q", secret, got)
			}
		})
	}
	all.Wait()
}
