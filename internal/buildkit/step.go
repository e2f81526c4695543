package buildkit

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
)

// stderrStream is the number that the daemon gives to a program's error output.
const stderrStream = 2

// maxPartial is the most that is kept of a line that does not end.
const maxPartial = 64 << 10

// keptLines is how many of a step's last lines an error message may quote.
const keptLines = 8

// step is one line of a Dockerfile, or one of the builder's own chores.
type step struct {
	// index is the step's number in the log, 0 until it has begun.
	index   int
	name    string
	started time.Time
	ended   time.Time
	// running are the step's vertices that have begun and not ended.
	running map[string]bool

	transfers map[string]transfer
	streams   map[int]*stream
	last      []string
}

// transfer is what was last said of a download, an upload or another part.
type transfer struct {
	said time.Time
	done bool
}

// stream is one of a step's two outputs.
type stream struct {
	rest []byte
	at   time.Time
}

func newStep(name string) *step {
	return &step{
		name:      name,
		running:   map[string]bool{},
		transfers: map[string]transfer{},
		streams:   map[int]*stream{},
	}
}

func (s *step) stream(number int) *stream {
	if s.streams[number] == nil {
		s.streams[number] = &stream{}
	}
	return s.streams[number]
}

// keep remembers a line for the error message.
func (s *step) keep(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	if len(s.last) == keptLines {
		s.last = append(s.last[:0], s.last[1:]...)
	}
	s.last = append(s.last, line)
}

// quotedLines is how many of them a message quotes.
const quotedLines = 3

// tail is the end of the step's output on one line.
func (s *step) tail() string {
	lines := s.last[max(0, len(s.last)-quotedLines):]
	shown := make([]string, len(lines))
	for i, line := range lines {
		shown[i] = plain(line)
	}
	return strings.Join(shown, " | ")
}

// escapes are a terminal's colours and movements.
var escapes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|.)")

// plain is a line without what only a terminal can show.
func plain(line string) string {
	line = escapes.ReplaceAllString(line, "")
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "\uFFFD"))
	return oneLine(line)
}

// stepNumber is what the frontend puts before a step: "[2/3] " or "[build 1/7] ".
var stepNumber = regexp.MustCompile(`^\[[^\]]*\d+/\d+\]\s+`)

// command is the step's name without its number.
func (s *step) command() string { return stepNumber.ReplaceAllString(s.name, "") }

// describe is one line about a transfer.
func describe(status *control.VertexStatus) string {
	text := oneLine(status.ID)
	switch {
	case status.Total > 0:
		text += fmt.Sprintf(" %s / %s", size(status.Current), size(status.Total))
	case status.Current > 0:
		text += " " + size(status.Current)
	}
	if status.Completed == nil {
		return text
	}
	text += " done"
	if status.Started != nil {
		text += " " + seconds(status.Completed.Sub(*status.Started))
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", max(0, d.Seconds())) }

// size prints a number of bytes with a decimal unit.
func size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return fmt.Sprintf("%dB", n)
	}
	value := float64(n) / 1000
	unit := 0
	for value >= 999.995 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.2f%s", value, units[unit])
}

// lastDrawn is what stays on a terminal of a line that draws over itself with
// carriage returns.
func lastDrawn(line []byte) string {
	line = bytes.TrimRight(line, "\r")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	return string(line)
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
