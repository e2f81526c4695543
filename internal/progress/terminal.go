package progress

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// tailLines is how many of the running step's last lines are shown below it,
	// and partRows how many of its parts above those.
	tailLines = 8
	partRows  = 5
	// keptLines is how many are kept for the case that it fails.
	keptLines = 400
	// nameWidth aligns the times behind the steps' names.
	nameWidth = 10
)

// Terminal shows each step with its time: a step that has ended is one line,
// the one that runs has the parts of its build and its last lines of output
// below it, one that failed has all of them.
type Terminal struct {
	lines

	o     Options
	stop  chan struct{}
	ticks sync.WaitGroup

	// The lines' lock guards the rest.
	step  tasks.Stage
	since time.Time
	log   []string
	// parts are those of a build, tail is the output beside them.
	parts parts
	tail  []string
	// dropped counts the lines that are no longer kept.
	dropped int
	// drawn is how many rows stand above the cursor that will be drawn again.
	drawn int
	ended bool
}

// NewTerminal makes a Terminal. Its goroutine draws until End.
func NewTerminal(o Options) *Terminal {
	t := &Terminal{o: o.withDefaults(), stop: make(chan struct{})}
	t.start(o.Redactor, t.keep)
	if o.Every > 0 {
		t.ticks.Go(t.tick)
	}
	return t
}

func (t *Terminal) tick() {
	ticker := time.NewTicker(t.o.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.Draw()
		case <-t.stop:
			return
		}
	}
}

// Stage ends the running step and begins another.
func (t *Terminal) Stage(s tasks.Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flush()
	var frame strings.Builder
	t.erase(&frame)
	t.finish(&frame, Succeeded)
	t.step, t.since = s, t.o.Now()
	t.running(&frame)
	t.write(frame.String())
}

// Draw draws the running step again.
func (t *Terminal) Draw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.step == "" || t.ended {
		return
	}
	var frame strings.Builder
	t.erase(&frame)
	t.running(&frame)
	t.write(frame.String())
}

// End ends the running step; one that failed keeps its output on the screen.
func (t *Terminal) End(how Ending) {
	close(t.stop)
	t.ticks.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flush()
	t.ended = true
	var frame strings.Builder
	t.erase(&frame)
	t.finish(&frame, how)
	t.write(frame.String())
}

// keep takes one line of the running step; the next frame shows it.
func (t *Terminal) keep(line string) {
	if t.ended {
		return
	}
	if len(t.log) == keptLines {
		t.log = append(t.log[:0], t.log[1:]...)
		t.dropped++
	}
	t.log = append(t.log, line)
	if output, is := t.parts.take(bare(line), t.o.Now()); is {
		t.tail = append(t.tail[max(0, len(t.tail)-tailLines+1):], output)
	}
}

// erase removes what was drawn last.
func (t *Terminal) erase(frame *strings.Builder) {
	if t.drawn > 0 {
		fmt.Fprintf(frame, "\x1b[%dA\r\x1b[J", t.drawn)
	}
	t.drawn = 0
}

// running draws the step that runs, no row wider and none more than there is
// room for: a row that wraps could not be found again.
func (t *Terminal) running(frame *strings.Builder) {
	width, height := t.o.Size()
	head := fmt.Sprintf("  ⋯ %-*s %s", nameWidth, t.step, elapsed(t.o.Now().Sub(t.since)))
	t.row(frame, t.style(bold, cut(head, width-1)))
	room := max(0, height-3)
	rows := t.parts.rows(min(partRows, room), t.o.Now())
	for _, row := range rows {
		t.row(frame, cut("    "+row, width-1))
	}
	for _, line := range t.tail[max(0, len(t.tail)-room+len(rows)):] {
		t.row(frame, t.style(dim, cut("    | "+line, width-1)))
	}
}

func (t *Terminal) row(frame *strings.Builder, text string) {
	frame.WriteString(text + "\n")
	t.drawn++
}

// finish writes the step's last line, which stays.
func (t *Terminal) finish(frame *strings.Builder, how Ending) {
	if t.step == "" {
		return
	}
	took := elapsed(t.o.Now().Sub(t.since))
	name := fmt.Sprintf("%-*s %s", nameWidth, t.step, took)
	switch how {
	case Failed:
		fmt.Fprintf(frame, "  %s %s\n", t.style(red, "✗"), t.style(red, name))
		t.expand(frame)
	case Interrupted:
		fmt.Fprintf(frame, "  - %s interrupted\n", name)
	default:
		fmt.Fprintf(frame, "  %s %s\n", t.style(green, "✓"), name)
	}
	t.step, t.log, t.dropped = "", nil, 0
	t.parts, t.tail = parts{}, nil
}

// expand writes the step's whole output.
func (t *Terminal) expand(frame *strings.Builder) {
	if t.dropped > 0 {
		fmt.Fprintf(frame, "    | … %d lines before\n", t.dropped)
	}
	for _, line := range t.log {
		if !t.o.Colour {
			line = bare(line)
		}
		fmt.Fprintf(frame, "    | %s%s\n", line, t.reset(line))
	}
}

// reset ends the colours that a line has begun.
func (t *Terminal) reset(line string) string {
	if t.o.Colour && strings.Contains(line, "\x1b[") {
		return "\x1b[0m"
	}
	return ""
}

// write ignores errors: a terminal that has gone must not fail a build.
func (t *Terminal) write(frame string) { _, _ = io.WriteString(t.o.Out, frame) }

// The styles of a terminal.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

func (t *Terminal) style(code, text string) string {
	if !t.o.Colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

var colours = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// bare is a line without colours and tabs, whose width can be counted.
func bare(line string) string {
	return strings.ReplaceAll(colours.ReplaceAllString(line, ""), "\t", "    ")
}
