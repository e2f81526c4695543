package progress

import (
	"bytes"
	"io"
	"sync"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// maxLine is the most of one line that is kept, in bytes.
const maxLine = 64 << 10

// lines cuts the two outputs of the steps into clean lines. The lock is that
// of the whole display, so that a line never meets half a frame.
type lines struct {
	mu       sync.Mutex
	redactor *redact.Redactor
	// take gets each whole line, with the lock held.
	take    func(line string)
	outputs [2]output
}

// output is one of the two streams of the steps.
type output struct {
	lines *lines
	rest  []byte
}

func (l *lines) start(redactor *redact.Redactor, take func(string)) {
	l.redactor, l.take = redactor, take
	for i := range l.outputs {
		l.outputs[i].lines = l
	}
}

// Stdout takes what a step says.
func (l *lines) Stdout() io.Writer { return &l.outputs[0] }

// Stderr takes what a step says on its error output.
func (l *lines) Stderr() io.Writer { return &l.outputs[1] }

// Write takes bytes; each whole line is shown.
func (o *output) Write(p []byte) (int, error) {
	o.lines.mu.Lock()
	defer o.lines.mu.Unlock()
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		o.rest = append(o.rest, line[:min(len(line), maxLine-len(o.rest))]...)
		if !whole {
			return len(p), nil
		}
		o.end()
		rest = after
	}
}

// end shows the line that has been collected.
func (o *output) end() {
	line := redact.CleanLine(string(o.rest))
	o.rest = o.rest[:0]
	if o.lines.redactor != nil {
		line = o.lines.redactor.String(line)
	}
	o.lines.take(line)
}

// flush shows lines that nobody has ended; the lock is held.
func (l *lines) flush() {
	for i := range l.outputs {
		if o := &l.outputs[i]; len(o.rest) > 0 {
			o.end()
		}
	}
}
