package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The backend's streams, and the one in which dispatchd keeps run events and
// terminal records.
const (
	deployments = "DEPLOYMENTS"
	buildLogs   = "BUILD_LOGS"
	ownEvents   = "DISPATCH_EVENTS"
)

// streams reads what was said about tasks, as a backend does.
type streams struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// openStreams connects and makes what is the backend's in production.
func openStreams(ctx context.Context, url string) (*streams, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", url, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("use JetStream at %s: %w", url, err)
	}
	for name, subjects := range map[string][]string{
		deployments: {"deployment.>", subjectDestroyed},
		buildLogs:   {"build.log.>"},
	} {
		_, makeErr := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: subjects, Storage: jetstream.FileStorage})
		if makeErr != nil {
			err = errors.Join(err, fmt.Errorf("make the backend's stream %s: %w", name, makeErr))
		}
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &streams{nc: nc, js: js}, nil
}

func (s *streams) close() { s.nc.Close() }

// message is one message of a stream.
type message struct {
	subject string
	header  nats.Header
	body    []byte
	at      time.Time
}

// all reads a stream to its end.
func (s *streams) all(ctx context.Context, stream string, subjects ...string) ([]message, error) {
	consumer, err := s.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	var found []message
	for range info.NumPending {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read message %d of stream %s: %w", len(found)+1, stream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", stream, err)
		}
		found = append(found, message{msg.Subject(), msg.Headers(), msg.Data(), meta.Timestamp})
	}
	return found, nil
}

// read fills a result with everything that the streams hold about a task.
func (s *streams) read(ctx context.Context, t task, r *result) error {
	return errors.Join(s.readRecord(ctx, t, r), s.readEvents(ctx, t, r), s.readLog(ctx, t, r))
}

// readRecord reads the terminal record and the times of the stages.
func (s *streams) readRecord(ctx context.Context, t task, r *result) error {
	messages, err := s.all(ctx, ownEvents, "dispatch.event."+t.ID+".>", "dispatch.done."+t.ID)
	if err != nil {
		return err
	}
	r.stages = stageTimes(messages)
	for _, m := range messages {
		if strings.HasPrefix(m.subject, "dispatch.done.") {
			r.took = m.at.Sub(t.at)
			if err := json.Unmarshal(m.body, &r.record); err != nil {
				return fmt.Errorf("read the terminal record of %s: %w", t.ID, err)
			}
			return nil
		}
	}
	return fmt.Errorf("the task %s has no terminal record", t.ID)
}

// stageTimes takes a stage to last until the next message about its task.
func stageTimes(messages []message) []stage {
	var stages []stage
	open := false
	var began time.Time
	for _, m := range messages {
		if open {
			stages[len(stages)-1].took = m.at.Sub(began)
		}
		var e struct {
			Stage string `json:"stage"`
		}
		open = strings.HasSuffix(m.subject, ".stage") && json.Unmarshal(m.body, &e) == nil
		if open {
			stages, began = append(stages, stage{name: e.Stage}), m.at
		}
	}
	return stages
}

// readEvents reads the legacy events of a task.
func (s *streams) readEvents(ctx context.Context, t task, r *result) error {
	messages, err := s.all(ctx, deployments)
	if err != nil {
		return err
	}
	r.events = nil
	for _, m := range messages {
		if m.header.Get("Dispatch-Task-Id") == t.ID {
			r.events = append(r.events, event{m.subject, m.header.Get("Dispatch-Reason"), m.header.Get("Dispatch-Error")})
		}
	}
	return nil
}

// readLog counts the lines of a deployment's log and finds its end.
func (s *streams) readLog(ctx context.Context, t task, r *result) error {
	if t.deployment() == "" {
		return nil
	}
	end := "build.log.end." + t.deployment()
	messages, err := s.all(ctx, buildLogs, "build.log."+t.deployment(), end)
	if err != nil {
		return err
	}
	r.lines, r.logEnd = 0, ""
	for _, m := range messages {
		if m.subject != end {
			r.lines++
			continue
		}
		var body struct {
			Status string `json:"status"`
		}
		if err := json.Unmarshal(m.body, &body); err != nil {
			return fmt.Errorf("read the end of the log of %s: %w", t.deployment(), err)
		}
		r.logEnd = body.Status
	}
	return nil
}
