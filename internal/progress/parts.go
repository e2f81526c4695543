package progress

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// part is one step of an image's build, as BuildKit's plain progress names it:
// "#4 [2/3] RUN make", then its output, then "#4 DONE 0.4s".
type part struct {
	name  string
	began time.Time
	// how is how it ended: a time or a word; empty while it runs.
	how string
}

// parts are the steps inside the running step, in the order of their begin.
type parts struct {
	list  []*part
	known map[string]*part
}

var (
	partLine   = regexp.MustCompile(`^#(\d+) (.+)$`)
	partEnd    = regexp.MustCompile(`^(?:DONE (\S+)|(CACHED|CANCELED|ERROR)\b.*)$`)
	partOutput = regexp.MustCompile(`^\d+\.\d{3} ?(.*)$`)
)

// take reads one line and returns what of it is output; none where the line
// only says that a part begins, ends or goes on.
func (p *parts) take(line string, now time.Time) (output string, is bool) {
	found := partLine.FindStringSubmatch(line)
	if found == nil {
		return line, true
	}
	number, text := found[1], found[2]
	known := p.known[number]
	if out := partOutput.FindStringSubmatch(text); out != nil {
		return out[1], true
	}
	if end := partEnd.FindStringSubmatch(text); end != nil {
		if known != nil { // one of the step before is none of ours
			known.how = end[1] + strings.ToLower(end[2])
		}
		return text, strings.HasPrefix(text, "ERROR")
	}
	if known == nil {
		p.begin(number, text, now)
	}
	return "", false
}

func (p *parts) begin(number, name string, now time.Time) {
	if p.known == nil {
		p.known = map[string]*part{}
	}
	begun := &part{name: name, began: now}
	p.known[number] = begun
	p.list = append(p.list, begun)
}

// rows are the last parts, at most so many, each with its time. A part that
// runs is never left out for one that has ended.
func (p *parts) rows(most int, now time.Time) []string {
	var shown []*part
	ended := max(0, most-p.running())
	for i := len(p.list) - 1; i >= 0 && len(shown) < most; i-- {
		if p.list[i].how != "" {
			if ended == 0 {
				continue
			}
			ended--
		}
		shown = append(shown, p.list[i])
	}
	rows := make([]string, len(shown))
	for i, s := range shown {
		how := s.how
		if how == "" {
			how = elapsed(now.Sub(s.began))
		}
		rows[len(shown)-1-i] = fmt.Sprintf("%-8s %s", how, s.name)
	}
	return rows
}

func (p *parts) running() int {
	n := 0
	for _, s := range p.list {
		if s.how == "" {
			n++
		}
	}
	return n
}
