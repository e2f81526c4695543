package planner

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// errTooLong ends a program whose output nobody can want whole.
var errTooLong = errors.New("the output is too long")

// limited keeps what is written to it, up to a limit.
type limited struct {
	most  int
	bytes []byte
}

// Write fails where the limit is passed.
func (l *limited) Write(p []byte) (int, error) {
	if len(l.bytes)+len(p) > l.most {
		return 0, errTooLong
	}
	l.bytes = append(l.bytes, p...)
	return len(p), nil
}

const (
	// tailBytes is how much of the end of a program's output is kept for an
	// error message, which quotes so many lines of it.
	tailBytes = 16 << 10
	tailLines = 3
)

// tail keeps the end of what is written to it. Both outputs of a program write
// to it at once.
type tail struct {
	mu  sync.Mutex
	end []byte
}

// Write takes everything and forgets the beginning.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if over := len(t.end) - tailBytes; over > 0 {
		t.end = slices.Delete(t.end, 0, over)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.end)
}

// lines are the last lines that say something, on one line.
func (t *tail) lines() string {
	var said []string
	for line := range strings.Lines(strings.ToValidUTF8(t.text(), "\uFFFD")) {
		line = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line)
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "it said nothing"
	}
	return strings.Join(said[max(0, len(said)-tailLines):], " | ")
}
