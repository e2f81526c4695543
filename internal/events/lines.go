package events

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dispatchd/dispatchd/internal/redact"
)

const (
	// maxLine is the most content that a log line has, in bytes.
	maxLine = 64 << 10
	// maxRaw is how much of one line is kept before it is redacted and cut. It is
	// larger, so that a secret at the cut is seen whole.
	maxRaw = 2 * maxLine
	// margin is cut off behind a line that was longer than maxRaw: what stands
	// there may be the first part of a secret. No secret that we know is longer.
	margin = 8 << 10
)

// lineWriter makes lines out of the bytes of one output. It is safe for
// concurrent use and never fails: a log must not end a build.
type lineWriter struct {
	log    *buildLog
	output string

	// The log's lock guards these.
	partial []byte
	skipped int
}

// Write takes bytes; each complete line goes to the log.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	rest := p
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			w.keep(rest)
			return len(p), nil
		}
		w.keep(rest[:i])
		w.emit()
		rest = rest[i+1:]
	}
}

// flush makes a line of what was not ended.
func (w *lineWriter) flush() {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if len(w.partial) > 0 {
		w.emit()
	}
}

// keep adds to the unfinished line, up to a limit.
func (w *lineWriter) keep(p []byte) {
	room := min(len(p), maxRaw-len(w.partial))
	w.partial = append(w.partial, p[:room]...)
	w.skipped += len(p) - room
}

func (w *lineWriter) emit() {
	raw := strings.TrimSuffix(string(w.partial), "\r")
	w.log.add(w.output, cleanLine(w.log.about.Redactor, raw, w.skipped))
	w.partial, w.skipped = w.partial[:0], 0
}

// cleanLine makes the line safe for a terminal, hides secrets and cuts it, in
// this order: cleaning can join the halves of a secret, and cutting can leave
// one.
func cleanLine(redactor *redact.Redactor, raw string, skipped int) string {
	line := redactor.String(redact.CleanLine(raw))
	if skipped > 0 {
		line = line[:max(0, len(line)-margin)]
		skipped += margin
	}
	if len(line) <= maxLine && skipped == 0 {
		return line
	}
	const note = " … [line cut, %d bytes left out]"
	end := min(len(line), maxLine-len(note)-16)
	for end > 0 && end < len(line) && !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + fmt.Sprintf(note, len(line)-end+skipped)
}
