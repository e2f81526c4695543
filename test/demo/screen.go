package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// The styles of a terminal.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

// screen prints for a person: styled in a terminal, plain in a pipe. As a
// Writer it takes whole lines of progress.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	styled bool
}

func newScreen(out io.Writer, styled bool) *screen { return &screen{out: out, styled: styled} }

// heading begins a new part.
func (s *screen) heading(format string, args ...any) {
	s.print("\n" + s.style(bold, fmt.Sprintf(format, args...)) + "\n")
}

// say prints one line below a heading.
func (s *screen) say(format string, args ...any) { s.print("  " + fmt.Sprintf(format, args...) + "\n") }

// ask leaves the cursor behind the question.
func (s *screen) ask(question string) { s.print("  " + question) }

// Write prints lines of progress, which nobody has to read.
func (s *screen) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.print("  " + s.style(dim, strings.TrimRight(line, "\n")) + "\n")
	}
	return len(p), nil
}

// print ignores errors: a closed terminal must not keep us from cleaning up.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.out, text)
}

func (s *screen) style(code, text string) string {
	if !s.styled || code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// quoted shows the output of a program beside a bar.
type quoted struct {
	screen *screen
	// rest is a line that has not ended yet.
	rest []byte
}

// Write prints every line that has ended.
func (q *quoted) Write(p []byte) (int, error) {
	q.rest = append(q.rest, p...)
	for {
		line, rest, found := bytes.Cut(q.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		q.line(string(line))
		q.rest = rest
	}
}

// flush prints the last line where it has no end.
func (q *quoted) flush() {
	if len(q.rest) > 0 {
		q.line(string(q.rest))
		q.rest = nil
	}
}

func (q *quoted) line(text string) {
	for prefix, code := range map[string]string{"==> ": bold, "SUCCEEDED": green, "FAILED": red} {
		if strings.HasPrefix(text, prefix) {
			text = q.screen.style(code, text)
			break
		}
	}
	q.screen.print("  " + q.screen.style(dim, "|") + " " + text + "\n")
}
