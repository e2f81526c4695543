package events_test

import (
	"io"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// A secret that is read while the task runs is hidden in all that follows.
func TestALateSecretIsHiddenInLogsAndEvents(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	about := subject(tasks.KindDeployRepository)
	stream := a.open(t, about)
	_, _ = io.WriteString(stream.Stdout(), "half of the line: ")
	about.Redactor.Add("late-secret")
	_, _ = io.WriteString(stream.Stdout(), "late-secret\n")
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.tell(t, stream.Compose(tasks.Outcome{Failure: tasks.Fail(tasks.ReasonBuildFailed, "it said late-secret", nil)}))
	shown := 0
	for _, name := range []string{"BACKEND", "EVENTS", "LOGS"} {
		for _, msg := range a.messages(t, name) {
			text := string(msg.Data)
			for _, values := range msg.Header {
				text += strings.Join(values, " ")
			}
			shown += strings.Count(text, "***")
			if strings.Contains(text, "late-secret") {
				t.Errorf("%s of %s shows it: %s", msg.Subject, name, text)
			}
		}
	}
	if shown < 3 {
		t.Errorf("%d masks, want them in the log, the event and the record", shown)
	}
}
