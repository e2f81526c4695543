package events

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// FuzzObject holds the writer of legacy bodies to encoding/json's reader: what
// was written is read back, on one line, whatever the text.
func FuzzObject(f *testing.F) {
	for _, text := range []string{"", "plain", "\"\\\n\t\x00\x1f", "é<>&\u2028\u2029", "\xff\xfe", "😀", "${x} %{y} [[z]] {{w}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		body := newObject().text("a", text).passedOn("b", tasks.Text{Raw: raw}).number("c", int64(len(text))).bytes()
		var got struct {
			A, B string
			C    int
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		want := strings.ToValidUTF8(text, "\uFFFD")
		if strings.Count(want, "\uFFFD") == strings.Count(got.A, "\uFFFD") && got.A != want {
			t.Errorf("read back %q, want %q", got.A, want)
		}
		if got.C != len(text) || strings.ContainsAny(string(body), "\n\r\x00") {
			t.Errorf("body %q", body)
		}
	})
}

// FuzzLine holds a log line to its promises: valid UTF-8 of at most 64 KiB that
// shows no secret.
func FuzzLine(f *testing.F) {
	f.Add("plain", 0)
	f.Add("s3cret-value at the end s3cret-value", 10)
	f.Add(strings.Repeat("x", maxLine)+"s3cret-value", 1)
	f.Add("\x1b[31mred\x1b]0;title\x07 \xff", 0)
	redactor := redact.New("s3cret-value")
	f.Fuzz(func(t *testing.T, raw string, skipped int) {
		raw, _, _ = strings.Cut(raw[:min(len(raw), maxRaw)], "\n")
		line := cleanLine(redactor, raw, max(0, skipped%(1<<20)))
		if len(line) > maxLine || strings.Contains(line, "s3cret-value") || strings.ToValidUTF8(line, "") != line {
			t.Errorf("line of %d bytes: %.200q", len(line), line)
		}
	})
}
