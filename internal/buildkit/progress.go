package buildkit

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// progressEvery is how often a transfer that takes long says how far it is.
const progressEvery = 5 * time.Second

// holdEnds is how long the end of a step is kept back: several of the
// builder's own steps run, end and run again at once, and are one to a reader.
const holdEnds = 150 * time.Millisecond

// exportStep is the name of the step that writes and pushes the image.
const exportStep = "exporting to image"

// printer writes a build's progress as plain lines and remembers what an error
// message may need. One goroutine uses it; the others read it when that one
// has ended.
type printer struct {
	out, errOut io.Writer
	// pushing is called once, when the image's export begins.
	pushing func()
	// hide takes the build's secrets out of what is remembered; nil leaves it.
	hide func(string) string

	// hold is holdEnds; held are the steps whose end is kept back.
	hold time.Duration
	held []*step
	// begun counts the steps that have a number.
	begun    int
	steps    map[string]*step
	byVertex map[string]*step
}

// newPrinter makes a printer for one build. It announces the push stage only
// where the image is pushed.
func newPrinter(rep tasks.Reporter, push bool) *printer {
	p := &printer{
		out: rep.Stdout(), errOut: rep.Stderr(), hold: holdEnds,
		steps: map[string]*step{}, byVertex: map[string]*step{},
	}
	if push {
		p.pushing = func() { rep.Stage(tasks.StagePush) }
	}
	return p
}

// consume prints until the channel is closed.
func (p *printer) consume(updates <-chan *control.Update) {
	defer p.finish()
	timer := time.NewTimer(p.hold)
	defer timer.Stop()
	for {
		select {
		case update, ok := <-updates:
			if !ok {
				return
			}
			p.print(update)
			timer.Reset(p.hold)
		case <-timer.C:
			p.release()
		}
	}
}

// finish prints what was kept back.
func (p *printer) finish() {
	p.release()
	open := slices.SortedFunc(maps.Values(p.steps), func(a, b *step) int { return a.index - b.index })
	for _, s := range open {
		p.flush(s)
	}
}

// release prints the ends that were held.
func (p *printer) release() {
	for _, s := range p.held {
		p.say(p.out, s, "DONE "+seconds(s.ended.Sub(s.started)))
	}
	p.held = nil
}

// print writes one update: new steps, their transfers, their output, their ends.
func (p *printer) print(update *control.Update) {
	for _, v := range update.Vertexes {
		p.open(v)
		if v.Cached {
			p.end(v)
		}
	}
	for _, s := range update.Statuses {
		p.transfer(s)
	}
	for _, w := range update.Warnings {
		p.warn(w)
	}
	for _, l := range update.Logs {
		p.output(l)
	}
	for _, v := range update.Vertexes {
		p.end(v)
	}
}

// open prints a step's name when it begins. Vertices of one group are one step.
func (p *printer) open(v *control.Vertex) {
	s := p.stepOf(v)
	if v.Started == nil && !v.Cached {
		return
	}
	if s.index == 0 {
		p.begin(s)
	}
	if v.Started != nil && v.Completed == nil {
		s.running[v.Digest] = true
		p.unhold(s)
	}
	if v.Started != nil && s.started.IsZero() {
		s.started = *v.Started
	}
}

// unhold forgets an end that was not the last one.
func (p *printer) unhold(s *step) {
	p.held = slices.DeleteFunc(p.held, func(other *step) bool { return other == s })
}

func (p *printer) begin(s *step) {
	if s.name == exportStep && p.pushing != nil {
		p.pushing()
		p.pushing = nil
	}
	p.release()
	p.begun++
	s.index = p.begun
	p.say(p.out, s, s.name)
}

func (p *printer) stepOf(v *control.Vertex) *step {
	key, name := v.Digest, v.Name
	if v.ProgressGroup != nil {
		key, name = "group "+v.ProgressGroup.Id, v.ProgressGroup.Name
	}
	s, ok := p.steps[key]
	if !ok {
		s = newStep(p.hidden(oneLine(name)))
		p.steps[key] = s
	}
	p.byVertex[v.Digest] = s
	return s
}

// end prints how a step ended, once for each time that it ran.
func (p *printer) end(v *control.Vertex) {
	s := p.byVertex[v.Digest]
	if v.Completed == nil || s.index == 0 {
		return
	}
	delete(s.running, v.Digest)
	if len(s.running) > 0 || s.ended.Equal(*v.Completed) {
		return
	}
	first := s.ended.IsZero()
	s.ended = *v.Completed
	p.unhold(s)
	p.flush(s)
	switch {
	case strings.HasSuffix(v.Error, "context canceled"):
		p.say(p.errOut, s, "CANCELED")
	case v.Error != "":
		p.say(p.errOut, s, "ERROR "+cleanError(v.Error))
	case v.Cached && first:
		p.say(p.out, s, "CACHED")
	case !v.Cached:
		p.held = append(p.held, s)
	}
}

// transfer prints what a step reports of itself: at its end, and now and then
// where it takes long.
func (p *printer) transfer(status *control.VertexStatus) {
	s, ok := p.byVertex[status.Vertex]
	if !ok || s.index == 0 {
		return
	}
	last, seen := s.transfers[status.ID]
	switch {
	case status.Completed != nil:
		if last.done {
			return
		}
		s.transfers[status.ID] = transfer{done: true}
	case !seen:
		s.transfers[status.ID] = transfer{said: status.Timestamp}
		return
	case status.Timestamp.Sub(last.said) < progressEvery:
		return
	default:
		s.transfers[status.ID] = transfer{said: status.Timestamp}
	}
	p.say(p.out, s, describe(status))
}

func (p *printer) warn(w *control.VertexWarning) {
	s, ok := p.byVertex[w.Vertex]
	if !ok || s.index == 0 {
		return
	}
	p.say(p.errOut, s, "WARN "+oneLine(string(w.Short)))
}

// output cuts a step's output into lines; a line without its end is kept until
// the rest comes.
func (p *printer) output(l *control.VertexLog) {
	s, ok := p.byVertex[l.Vertex]
	if !ok {
		return
	}
	if s.index == 0 {
		p.begin(s)
	}
	stream := s.stream(l.Stream)
	stream.at = l.Timestamp
	stream.rest = append(stream.rest, l.Data...)
	for {
		line, rest, whole := bytes.Cut(stream.rest, []byte("\n"))
		if !whole && len(stream.rest) < maxPartial {
			return
		}
		stream.rest = rest
		p.outputLine(s, l.Stream, line)
	}
}

// outputLine prints one line of a program, with the seconds since its step began.
func (p *printer) outputLine(s *step, stream int, line []byte) {
	text := lastDrawn(line)
	s.keep(p.hidden(text))
	w := p.out
	if stream == stderrStream {
		w = p.errOut
	}
	since := max(0, s.stream(stream).at.Sub(s.started).Seconds())
	if s.started.IsZero() {
		since = 0
	}
	p.say(w, s, fmt.Sprintf("%.3f %s", since, text))
}

// hidden is a text without the build's secrets.
func (p *printer) hidden(text string) string {
	if p.hide == nil {
		return text
	}
	return p.hide(text)
}

// flush prints what a step has written without ending the line.
func (p *printer) flush(s *step) {
	for _, number := range slices.Sorted(maps.Keys(s.streams)) {
		stream := s.streams[number]
		if line := stream.rest; len(line) > 0 {
			stream.rest = nil
			p.outputLine(s, number, line)
		}
	}
}

// say writes one line in one piece. The log is best effort: a build does not
// fail because nobody can hear it.
func (p *printer) say(w io.Writer, s *step, text string) {
	_, _ = fmt.Fprintf(w, "#%d %s\n", s.index, text)
}
