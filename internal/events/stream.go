package events

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Stream is what one attempt at a task says. It implements worker.Stream.
type Stream struct {
	publisher *Publisher
	about     worker.Subject
	log       *buildLog
	stdout    *lineWriter
	stderr    *lineWriter
}

var _ worker.Stream = (*Stream)(nil)

// Open starts the task's stream. Its one goroutine ends with Close.
func (p *Publisher) Open(ctx context.Context, about worker.Subject) (worker.Stream, error) {
	s := &Stream{publisher: p, about: about}
	start, err := p.logStart(ctx, about)
	if err != nil {
		return nil, err
	}
	s.log = startBuildLog(ctx, p, about, start)
	s.stdout = &lineWriter{log: s.log, output: "stdout"}
	s.stderr = &lineWriter{log: s.log, output: "stderr"}
	return s, nil
}

// logStart finds out whether a stream keeps the task's log and, where a run goes
// on, the number of its last line. What cannot be read now is an error: a line
// with a number that stands already would be worse than a task that waits.
func (p *Publisher) logStart(ctx context.Context, about worker.Subject) (logStart, error) {
	start := logStart{after: about.Run.LogSequence, plain: true}
	if about.Task.Deploy == nil || p.options.Stream == "" {
		return start, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	subject := p.options.Subjects.BuildLog(about.Task.Deploy.DeploymentID)
	name, err := p.logStream(ctx, subject)
	if name == "" || err != nil {
		return start, err
	}
	start.plain, start.stream = false, name
	if about.Run.Claims > 1 {
		stored, err := p.lastLine(ctx, name, subject)
		if err != nil {
			return start, err
		}
		start.after = max(start.after, stored)
	}
	return start, nil
}

// lastLine returns the number of the last stored log line; 0 where there is none.
func (p *Publisher) lastLine(ctx context.Context, stream, subject string) (uint64, error) {
	msg, err := p.last(ctx, stream, subject)
	if err != nil || msg == nil {
		return 0, err
	}
	var line struct {
		Sequence uint64 `json:"sequence"`
	}
	_ = json.Unmarshal(msg.data, &line)
	return line.Sequence, nil
}

// Stage announces the stage in the log's phase and as a run event.
func (s *Stream) Stage(stage tasks.Stage) {
	s.log.enter(stage)
	s.log.note(s.runEvent(EventStage, func(e *RunEvent) { e.Stage = stage }))
}

// Stdout takes build log bytes.
func (s *Stream) Stdout() io.Writer { return s.stdout }

// Stderr takes build log bytes of an error output.
func (s *Stream) Stderr() io.Writer { return s.stderr }

// Started publishes IN_PROGRESS and returns when the server has it. It may be
// repeated where its subject has a lane.
func (s *Stream) Started(ctx context.Context) (repeatable bool, err error) {
	e := s.startedEvent()
	l := s.publisher.lane(e.Subject)
	if err := l.publish(ctx, kindChanged, e); err != nil {
		return false, err
	}
	s.log.note(s.runEvent(EventStarted, nil))
	return l.fenced(), nil
}

func (s *Stream) startedEvent() worker.Event {
	return s.event(kindChanged, "", changedBody(s.about.Task), s.commonHeader())
}

// Flush returns when every line written so far is out.
func (s *Stream) Flush(ctx context.Context) (uint64, error) {
	s.stdout.flush()
	s.stderr.flush()
	return s.log.flush(ctx)
}

// Retried notes that the attempt was handed back and why.
func (s *Stream) Retried(ctx context.Context, failure *tasks.Failure, after time.Duration) {
	s.publisher.runEvent(ctx, s.runEvent(EventRetry, func(e *RunEvent) {
		e.Stage, e.Reason, e.Message, e.DelayMS = failure.Stage, failure.Reason, s.oneLine(failure.Message), after.Milliseconds()
	}))
}

// Close ends the stream's goroutine; lines not yet out are dropped.
func (s *Stream) Close() { s.log.close() }

func (s *Stream) runEvent(kind string, fill func(*RunEvent)) RunEvent {
	e := RunEvent{
		TaskID: s.about.Task.ID, Kind: s.about.Task.Kind, Event: kind, Attempt: s.about.Run.Attempts, Worker: s.about.Run.Worker,
		traceparent: s.about.Traceparent,
	}
	if fill != nil {
		fill(&e)
	}
	return e
}
