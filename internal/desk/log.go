package desk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// LogLine is one line of a build log, as the backend has it.
type LogLine struct {
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	Output   string    `json:"output"`
	Phase    string    `json:"phase"`
	Content  string    `json:"content"`

	at uint64
}

// tail reads the last lines of a subject. Streams can be read forwards alone,
// and others' lines stand between: it looks for a place that is near enough to
// the end, by the numbers of the lines, and reads on from there.
func (d *Desk) tail(ctx context.Context, subject string, lines int) ([]LogLine, error) {
	stream, err := d.leader.streamOf(ctx, subject)
	if stream == "" || err != nil {
		return nil, err
	}
	m, err := d.leader.last(ctx, stream, subject)
	if m == nil || err != nil {
		return nil, err
	}
	end := logLine(m)
	from, err := d.tailStart(ctx, tailQuery{stream: stream, subject: subject, end: end, lines: uint64(lines)})
	if err != nil {
		return nil, err
	}
	var all []LogLine
	for read := 0; read < 64*lines+1024; read++ {
		m, err := d.leader.next(ctx, stream, subject, from)
		if m == nil || err != nil {
			return all, err
		}
		all = append(all, logLine(m))
		all = all[max(len(all)-lines, 0):]
		from = m.Sequence + 1
	}
	return all, nil
}

type tailQuery struct {
	stream, subject string
	end             LogLine
	lines           uint64
}

// tailStart returns a sequence with at least the wanted lines after it, and not
// many more. A log that was begun anew counts from its last beginning.
func (d *Desk) tailStart(ctx context.Context, q tailQuery) (uint64, error) {
	near, far := q.end.at, uint64(1)
	if q.end.Sequence <= q.lines {
		return far, nil
	}
	for step := q.lines; step < q.end.at; step *= 4 {
		enough, err := d.hasLines(ctx, q, q.end.at-step)
		if err != nil {
			return 0, err
		}
		if enough > 0 {
			far = q.end.at - step
			break
		}
		near = q.end.at - step
	}
	for near-far > 1 {
		middle := far + (near-far)/2
		enough, err := d.hasLines(ctx, q, middle)
		switch {
		case err != nil:
			return 0, err
		case enough == 0:
			near = middle
		case enough <= 2:
			return middle, nil
		default:
			far = middle
		}
	}
	return far, nil
}

// hasLines returns how often the wanted number of lines fits between a sequence
// and the end of the log.
func (d *Desk) hasLines(ctx context.Context, q tailQuery, from uint64) (uint64, error) {
	m, err := d.leader.next(ctx, q.stream, q.subject, from)
	if m == nil || err != nil {
		return 0, err
	}
	first := logLine(m).Sequence
	if first > q.end.Sequence {
		return 3, nil // an earlier log of the same deployment
	}
	return (q.end.Sequence - first + 1) / q.lines, nil
}

func logLine(m *message) LogLine {
	var body struct {
		Sequence uint64 `json:"sequence"`
		Output   string `json:"logOutput"`
		Phase    string `json:"phase"`
		Content  string `json:"content"`
	}
	// What is no line of ours is shown as it came.
	if json.Unmarshal(m.Data, &body) != nil {
		body.Content = string(m.Data)
	}
	return LogLine{
		Sequence: body.Sequence, Stored: m.Time, Output: body.Output, Phase: body.Phase,
		Content: redact.CleanLine(body.Content), at: m.Sequence,
	}
}
