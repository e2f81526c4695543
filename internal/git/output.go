package git

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxLine = 4 << 10
	// maxShown bounds what a server can put into a build log.
	maxShown = 500
	// maxOwn is how many of git's last own lines are kept for a failure.
	maxOwn = 50
	// progressEvery is how often an unfinished progress line is shown.
	progressEvery = 10 * time.Second
)

// output passes git's lines on to the log and keeps its own words, which say
// why it failed. Of a progress line that is written over and over, the last
// state is shown, and one in ten seconds before.
type output struct {
	to    io.Writer
	heard atomic.Int64
	line  []byte
	// returned says that the line ended with a carriage return.
	returned bool
	shown    int
	own      []string
	last     time.Time
}

func newOutput(to io.Writer) *output { return &output{to: to, last: time.Now()} }

// Write takes what git says; it never fails.
func (o *output) Write(p []byte) (int, error) {
	o.heard.Add(int64(len(p)))
	for rest := p; len(rest) > 0; {
		if o.returned {
			// ssh ends its lines with both signs; progress with the first alone.
			o.returned = false
			o.finish(rest[0] == '\n')
			if rest[0] == '\n' {
				rest = rest[1:]
				continue
			}
		}
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			o.add(rest)
			break
		}
		o.add(rest[:end])
		if rest[end] == '\n' {
			o.finish(true)
		}
		o.returned = rest[end] == '\r'
		rest = rest[end+1:]
	}
	return len(p), nil
}

// flush ends the last line where git did not.
func (o *output) flush() { o.finish(true) }

func (o *output) add(part []byte) {
	o.line = append(o.line, part[:min(len(part), maxLine-len(o.line))]...)
}

// finish passes one line on; whole is false where it will be written over.
func (o *output) finish(whole bool) {
	text := cleanLine(string(o.line))
	o.line = o.line[:0]
	if text == "" || strings.HasPrefix(text, "Cloning into ") {
		return
	}
	if whole && !strings.HasPrefix(text, "remote: ") {
		o.own = append(o.own[max(0, len(o.own)-maxOwn+1):], text)
	}
	if whole || time.Since(o.last) >= progressEvery {
		o.show(text)
	}
}

// show writes one line to the log, as long as there is room.
func (o *output) show(text string) {
	o.last = time.Now()
	o.shown++
	switch {
	case o.to == nil || o.shown > maxShown:
		return
	case o.shown == maxShown:
		text = "(git says more, which is not shown)"
	}
	_, _ = io.WriteString(o.to, text+"\n")
}

// cleanLine removes the escape that clears a terminal's line, and whatever
// else a server may have put in to steer a reader's terminal.
func cleanLine(line string) string {
	return strings.TrimRight(printable(strings.ReplaceAll(line, "\x1b[K", ""), maxLine), " \t")
}
