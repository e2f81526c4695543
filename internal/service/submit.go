package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Update is one thing that a follower hears of a task; exactly one field is set.
type Update struct {
	Queued  *Queued            `json:"queued,omitempty"`
	Event   *events.RunEvent   `json:"event,omitempty"`
	Line    json.RawMessage    `json:"line,omitempty"`
	Settled *worker.Settlement `json:"settled,omitempty"`
}

// Queued says that the work queue has the task.
type Queued struct {
	TaskID  string `json:"task_id"`
	Subject string `json:"subject"`
}

// recheckEvery is how often a follower looks for a terminal record that it may
// have missed while its connection was away.
const recheckEvery = 3 * time.Second

// SplitTask reads the text of a task and returns one task for each message that
// it takes: a destroy of several jobs is one message a job, `<id>-<n>`.
func SplitTask(text []byte) ([]Submission, error) {
	task, err := tasks.Decode(tasks.Message{Body: text, DefaultID: tasks.NewID()})
	if err != nil {
		return nil, err
	}
	var envelope struct {
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return nil, fmt.Errorf("read the task: %w", err)
	}
	if task.Destroy == nil || len(task.Destroy.Jobs) < 2 {
		body, err := tasks.Encode(task.Kind, task.ID, envelope.Params)
		return []Submission{{Task: task, Body: body}}, err
	}
	return splitDestroy(task)
}

// Submission is one task and the body of its message.
type Submission struct {
	Task tasks.Task
	Body []byte
}

func splitDestroy(task tasks.Task) ([]Submission, error) {
	var all []Submission
	for i, job := range task.Destroy.Jobs {
		one := task
		one.ID = fmt.Sprintf("%s-%d", task.ID, i+1)
		one.Destroy = &tasks.Destroy{Reason: task.Destroy.Reason, Jobs: []tasks.DestroyJob{job}}
		params, err := json.Marshal(map[string]any{"reason": task.Destroy.Reason, "jobs": []map[string]string{{
			"jobId": job.JobID, "serviceId": job.ServiceID, "nomadAddress": job.NomadAddress, "nomadToken": job.NomadToken.Reveal(),
		}}})
		if err != nil {
			return nil, fmt.Errorf("split the destroy: %w", err)
		}
		body, err := tasks.Encode(one.Kind, one.ID, params)
		if err != nil {
			return nil, err
		}
		all = append(all, Submission{Task: one, Body: body})
	}
	return all, nil
}

// Client publishes tasks and follows them.
type Client struct {
	host     Host
	bus      *bus
	topology queue.Topology
	subjects events.Subjects
	reader   *events.Publisher
}

// NewClient connects to NATS. Close it.
func NewClient(ctx context.Context, host Host) (*Client, error) {
	b, err := connect(ctx, host, natsconn.SubmitInbox)
	if err != nil {
		return nil, err
	}
	topology := topologyOf(host)
	return &Client{
		host: host, bus: b, topology: topology,
		subjects: events.NewSubjects(host.Config.NATS.StreamPrefix, host.Config.NATS.SubjectRoot),
		reader:   newPublisher(b, host, topology.Events(), prometheus.NewRegistry()),
	}, nil
}

// Close ends the connection.
func (c *Client) Close() { c.bus.close() }

// Publish puts the task into the work queue and returns when the server has it.
func (c *Client) Publish(ctx context.Context, s Submission) (Queued, error) {
	parts := s.Task.Subject()
	subject := c.topology.TaskSubject(parts.Kind, parts.Target, parts.ID)
	_, err := c.bus.js.Publish(ctx, subject, s.Body)
	var api *jetstream.APIError
	switch {
	case err == nil:
		return Queued{TaskID: s.Task.ID, Subject: subject}, nil
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return Queued{}, fmt.Errorf("publish the task on %s: there is no work queue: start `dispatchd run` once, or check NATS_STREAM_PREFIX", subject)
	case errors.As(err, &api) && api.ErrorCode == codePerSubjectLimit:
		return Queued{}, fmt.Errorf("publish the task: the id %s is in the queue already", s.Task.ID)
	default:
		return Queued{}, fmt.Errorf("publish the task on %s: %w", subject, err)
	}
}

// codePerSubjectLimit is the server's code for "maximum messages per subject exceeded".
const codePerSubjectLimit = 10077

// Follow publishes the task and calls heard for everything that is said of it,
// in order, until it is settled. It returns the settlement.
func (c *Client) Follow(ctx context.Context, s Submission, heard func(Update)) (*worker.Settlement, error) {
	messages := make(chan *nats.Msg, 4096)
	subscriptions, err := c.listen(s.Task, messages)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, subscription := range subscriptions {
			_ = subscription.Unsubscribe()
		}
	}()
	if ended, err := c.reader.Ended(ctx, s.Task.ID); err == nil && ended != nil {
		return nil, fmt.Errorf("a task with the id %s has already ended (%s): send the work with a new id", s.Task.ID, ended.Status)
	}
	queued, err := c.Publish(ctx, s)
	if err != nil {
		return nil, err
	}
	heard(Update{Queued: &queued})
	return c.until(ctx, s.Task.ID, messages, heard)
}

// listen subscribes to the task's events, its log and its end.
func (c *Client) listen(t tasks.Task, messages chan *nats.Msg) ([]*nats.Subscription, error) {
	subjects := []string{c.subjects.Event(t.ID, "*"), c.subjects.Done(t.ID)}
	if t.Deploy != nil {
		subjects = append(subjects, c.subjects.BuildLog(t.Deploy.DeploymentID))
	}
	var all []*nats.Subscription
	for _, subject := range subjects {
		subscription, err := c.bus.nc.ChanSubscribe(subject, messages)
		if err != nil {
			return all, fmt.Errorf("follow %s: %w", subject, err)
		}
		all = append(all, subscription)
	}
	return all, c.bus.nc.Flush()
}

// until passes on what is heard until the terminal record is there.
func (c *Client) until(ctx context.Context, id string, messages <-chan *nats.Msg, heard func(Update)) (*worker.Settlement, error) {
	recheck := time.NewTicker(recheckEvery)
	defer recheck.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case msg := <-messages:
			update, err := c.read(id, msg)
			if err != nil {
				return nil, err
			}
			heard(update)
			if update.Settled != nil {
				return update.Settled, nil
			}
		case <-recheck.C:
			if ended, err := c.reader.Ended(ctx, id); err == nil && ended != nil {
				heard(Update{Settled: ended})
				return ended, nil
			}
		}
	}
}

func (c *Client) read(id string, msg *nats.Msg) (Update, error) {
	switch msg.Subject {
	case c.subjects.Done(id):
		var settled worker.Settlement
		if err := json.Unmarshal(msg.Data, &settled); err != nil {
			return Update{}, fmt.Errorf("read the terminal record of %s: %w", id, err)
		}
		return Update{Settled: &settled}, nil
	default:
		var event events.RunEvent
		if err := json.Unmarshal(msg.Data, &event); err != nil || event.Event == "" {
			return Update{Line: json.RawMessage(msg.Data)}, nil //nolint:nilerr // not a run event: a log line
		}
		return Update{Event: &event}, nil
	}
}
