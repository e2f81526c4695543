package progress

import (
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Plain writes a line for each step, with the time since the start, and the
// lines of the log as they are.
type Plain struct {
	lines

	o     Options
	began time.Time
	// staged is true once a step has begun.
	staged bool
}

// NewPlain makes a Plain; its clock starts now.
func NewPlain(o Options) *Plain {
	o = o.withDefaults()
	p := &Plain{o: o, began: o.Now()}
	p.start(o.Redactor, p.line)
	return p
}

// Stage writes that a step begins.
func (p *Plain) Stage(s tasks.Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flush()
	p.staged = true
	p.say(fmt.Sprintf("==> %s (%s)", s, elapsed(p.o.Now().Sub(p.began))))
}

// End writes how long it took, unless nothing has begun.
func (p *Plain) End(how Ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flush()
	if !p.staged {
		return
	}
	word := map[Ending]string{Succeeded: "done", Failed: "failed", Interrupted: "interrupted"}[how]
	p.say(fmt.Sprintf("==> %s (%s)", word, elapsed(p.o.Now().Sub(p.began))))
}

// line writes a line of the log, without colours where nobody can see them.
func (p *Plain) line(text string) {
	if !p.o.Colour {
		text = colours.ReplaceAllString(text, "")
	}
	p.say(text)
}

// say ignores errors: a reader that has gone must not fail a build.
func (p *Plain) say(line string) { _, _ = fmt.Fprintln(p.o.Out, line) }
