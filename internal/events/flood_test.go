package events_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// flooded is a stream into which very much was written before the first line
// could go out.
func flooded(t *testing.T, a *audience, line string, count int) worker.Stream {
	t.Helper()
	var ours atomic.Bool
	about := subject(tasks.KindDeployRepository)
	about.Valid = ours.Load // nothing goes out before
	stream := a.open(t, about)
	for range count {
		_, _ = io.WriteString(stream.Stdout(), line+"\n")
	}
	ours.Store(true)
	return stream
}

// TestAFloodKeepsTheEndOfTheLogAndSaysWhatIsMissing: a build that writes faster
// than the server takes it costs a bounded amount of memory, and the lines that
// say why it failed are the last to go.
func TestAFloodKeepsTheEndOfTheLogAndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	const count = 1200 // more than waits and is on its way at once
	a := newAudience(t, "", true)
	stream := flooded(t, a, strings.Repeat("x", 16<<10), count)
	_, _ = fmt.Fprintln(stream.Stdout(), "the reason why")
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := a.lines(t)
	if last := lines[len(lines)-1].Content; last != "the reason why" {
		t.Errorf("the log ends with %.40q", last)
	}
	came, left := 0, 0
	for i, l := range lines {
		if l.Sequence != i+1 {
			t.Fatalf("line %d has the number %d", i+1, l.Sequence)
		}
		if n := leftOut(l); n > 0 {
			left += n
		} else {
			came++
		}
	}
	if left == 0 || came+left != count+1 {
		t.Errorf("%d lines came and %d are said to be left out, of %d", came, left, count+1)
	}
}

// TestEmptyLinesAreAFloodToo: a line costs memory though nothing stands in it.
func TestEmptyLinesAreAFloodToo(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	heard, err := a.nc.SubscribeSync("build.log.>")
	if err != nil {
		t.Fatal(err)
	}
	flooded(t, a, "", 100_000)
	for range 1000 { // the marker stands behind what was on its way already
		msg, err := heard.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(msg.Data), "lines left out") {
			return
		}
	}
	t.Error("100,000 lines wait in memory, and none was left out")
}

// leftOut is how many lines a marker stands for; 0 where the line is none.
func leftOut(l line) int {
	var n int
	if _, err := fmt.Sscanf(l.Content, "[%d lines left out", &n); err != nil {
		return 0
	}
	return n
}
