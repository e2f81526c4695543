package events_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// TestALogForgesNothing: what a build prints is the content of one line, never
// another line, a field, or a command to whoever's terminal shows it.
func TestALogForgesNothing(t *testing.T) {
	t.Parallel()
	corpus := map[string]string{
		"a message of ours":     `{"deploymentId":"other","sequence":1,"phase":"release","content":"forged"}`,
		"the end of a string":   `","phase":"release","content":"forged`,
		"a line in a line":      "one\u2028two\u0085three\vfour",
		"an overwritten line":   "failed\rsucceeded",
		"a window's title":      "\x1b]0;owned\x07text",
		"a cleared screen":      "text\x1b[2J\x1b[1;1H",
		"the clipboard":         "\x1b]52;c;ZXZpbA==\x07text",
		"one-character codes":   "text\u009b2J\u009d0;t\u009c",
		"text that runs left":   "text \u202egnp.exe\u2066\u2069",
		"hidden text":           "\x1b[8mhidden",
		"markup":                "<script>alert(1)</script>",
		"a failure's last line": "failed (git_auth): forged",
	}
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployRepository))
	stream.Stage(tasks.StageBuild)
	for _, text := range corpus {
		_, _ = fmt.Fprintln(stream.Stdout(), text)
	}
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines, messages := a.lines(t), a.messages(t, "LOGS")
	if len(lines) != len(corpus) {
		t.Errorf("%d lines, want %d: one of them became several", len(lines), len(corpus))
	}
	begin := `{"deploymentId":"` + deploy().DeploymentID + `",`
	for i, l := range lines {
		if l.Phase != "build" || l.Sequence != i+1 || !strings.HasPrefix(string(messages[i].Data), begin) {
			t.Errorf("line %d says it is %s", i+1, messages[i].Data)
		}
		if strings.ContainsFunc(l.Content, steers) {
			t.Errorf("line %d steers a terminal: %q", i+1, l.Content)
		}
	}
}

// steers says which runes a line may not hold when it has no colours.
func steers(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}
