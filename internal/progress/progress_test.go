package progress_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/progress"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden frames in testdata")

// clock is a time that the test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) pass(d time.Duration)    { c.now = c.now.Add(d) }
func newClock() *clock                   { return &clock{time.Unix(1_700_000_000, 0)} }
func say(p progress.Progress, s string)  { _, _ = fmt.Fprintln(p.Stdout(), s) }
func warn(p progress.Progress, s string) { _, _ = fmt.Fprintln(p.Stderr(), s) }

// frames is a terminal's output, one frame a write, with escapes made visible.
type frames struct{ strings strings.Builder }

func (f *frames) Write(p []byte) (int, error) {
	f.strings.WriteString("--- frame\n" + strings.NewReplacer("\x1b", "␛", "\r", "␍").Replace(string(p)))
	return len(p), nil
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// story is what a display is told in the golden tests.
func story(p progress.Progress, c *clock, draw func(), how progress.Ending) {
	p.Stage(tasks.StageConfigure)
	c.pass(30 * time.Millisecond)
	p.Stage(tasks.StageBuild)
	for _, line := range []string{
		"building web", "#1 [internal] load build definition", "#1 transferring dockerfile: 157B done 0.0s", "#1 DONE 0.1s",
		"#2 [1/4] FROM base", "#2 CACHED", "#3 [2/4] COPY . .", "#3 DONE 0.4s", "#4 [3/4] RUN make", "#5 [other 1/1] RUN sleep",
		"#6 [4/4] RUN true", "#6 DONE 0.0s", "#5 CANCELED",
	} {
		say(p, line)
	}
	for i := range 12 {
		say(p, fmt.Sprintf("#4 %d.000 compiling part %d", i, i))
		c.pass(time.Second)
	}
	warn(p, "#4 12.000 \x1b[33ma warning in yellow that is far too long for this narrow terminal\x1b[0m")
	_, _ = p.Stdout().Write([]byte("#4 12.500 half a "))
	draw()
	_, _ = p.Stdout().Write([]byte("line\x1b[2J\r\n\tindented 日本語日本語日本語日本語日本語日本語日本語\n"))
	c.pass(75 * time.Second)
	draw()
	p.Stage(tasks.StagePush)
	say(p, "#4 DONE 90.0s")
	say(p, "#7 exporting to image")
	say(p, "#7 pushing layers 10MB / 20MB")
	draw()
	say(p, "token is hunter2!")
	_, _ = p.Stderr().Write([]byte("no end of line"))
	c.pass(1200 * time.Millisecond)
	p.End(how)
}

func TestTerminalFrames(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]progress.Ending{
		"succeeded": progress.Succeeded, "failed": progress.Failed, "interrupted": progress.Interrupted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out frames
			c := newClock()
			term := progress.NewTerminal(progress.Options{
				Out: &out, Now: c.Now, Colour: name == "failed", Redactor: redact.New("hunter2!"), Size: func() (int, int) { return 40, 12 },
			})
			story(term, c, term.Draw, how)
			term.Draw()
			golden(t, "terminal-"+name+".txt", out.strings.String())
		})
	}
}

func TestPlainLines(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]progress.Ending{"succeeded": progress.Succeeded, "failed": progress.Failed, "interrupted": progress.Interrupted} {
		var out bytes.Buffer
		c := newClock()
		story(progress.NewPlain(progress.Options{Out: &out, Now: c.Now, Redactor: redact.New("hunter2!")}), c, func() {}, how)
		golden(t, "plain-"+name+".txt", out.String())
	}
}

// A screen that is drawn must fit: no row may wrap, whatever the size.
func TestNoRowIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{1, 1}, {5, 3}, {12, 4}, {80, 24}} {
		var out bytes.Buffer
		c := newClock()
		term := progress.NewTerminal(progress.Options{Out: &out, Now: c.Now, Size: func() (int, int) { return size[0], size[1] }})
		term.Stage(tasks.StageBuild)
		for range 20 {
			say(term, strings.Repeat("x", 300))
		}
		out.Reset()
		term.Draw()
		_, frame, _ := strings.Cut(out.String(), "\x1b[J")
		rows := strings.Split(strings.TrimSuffix(frame, "\n"), "\n")
		if len(rows) > max(1, size[1]-1) {
			t.Errorf("%v: %d rows", size, len(rows))
		}
		for _, row := range rows {
			if n := len([]rune(row)); n > size[0] {
				t.Errorf("%v: the row %q has %d columns", size, row, n)
			}
		}
		term.End(progress.Succeeded)
	}
}

// Of a step that fails, the last lines are kept and the others counted.
func TestAFailedStepKeepsItsLastLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	term := progress.NewTerminal(progress.Options{Out: &out})
	term.Stage(tasks.StageBuild)
	for i := range 1000 {
		say(term, fmt.Sprintf("line %d", i))
	}
	term.End(progress.Failed)
	text := out.String()
	for _, want := range []string{"… 600 lines before", "| line 600\n", "| line 999\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the output does not hold %q", want)
		}
	}
	if strings.Contains(text, "| line 599\n") {
		t.Error("the output holds more lines than are kept")
	}
}

// Steps write from several goroutines while the display draws by itself.
func TestDisplaysAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]progress.Progress{
		"terminal": progress.NewTerminal(progress.Options{Out: new(bytes.Buffer), Every: time.Millisecond}),
		"plain":    progress.NewPlain(progress.Options{Out: new(bytes.Buffer)}),
	} {
		t.Run(name, func(t *testing.T) {
			var steps sync.WaitGroup
			for range 4 {
				steps.Go(func() {
					for range 200 {
						p.Stage(tasks.StageBuild)
						say(p, "out")
						warn(p, "err")
					}
				})
			}
			steps.Wait()
			p.End(progress.Succeeded)
			say(p, "too late")
		})
	}
}

// gone is a reader that has hung up.
type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestADisplayNeverFailsAStep(t *testing.T) {
	t.Parallel()
	for _, p := range []progress.Progress{progress.NewTerminal(progress.Options{Out: gone{}}), progress.NewPlain(progress.Options{Out: gone{}})} {
		p.Stage(tasks.StageBuild)
		text := bytes.Repeat([]byte("x"), 200<<10)
		if n, err := p.Stdout().Write(append(text, '\n')); n != len(text)+1 || err != nil {
			t.Errorf("Write() = %d, %v, want %d and no error", n, err, len(text)+1)
		}
		p.End(progress.Failed)
	}
}
