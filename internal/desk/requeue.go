package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Requeue says how a dead letter becomes a request again.
type Requeue struct {
	Letter Letter
	// Body is the corrected body; nil takes the letter's own.
	Body []byte
	// Force requeues it even while a task of the old id waits or runs.
	Force bool
}

// Requeued is the new request.
type Requeued struct {
	From    string `json:"requeued_from"`
	TaskID  string `json:"task_id"`
	Subject string `json:"subject"`
	// Before is true where the request had been made a moment ago and only the
	// letter was left; TaskID and Subject are empty then.
	Before bool `json:"before,omitempty"`
	// Unlinked is why a run event that links the two ids is missing; empty where none
	// is. The request names the old id all the same.
	Unlinked string `json:"unlinked,omitempty"`
}

// Requeue publishes the letter's task as a new request with a new id, and then
// deletes the letter.
func (d *Desk) Requeue(ctx context.Context, r Requeue) (Requeued, error) {
	if !r.Force {
		if err := d.notAlive(ctx, r.Letter); err != nil {
			return Requeued{}, err
		}
	}
	task, body, err := d.newRequest(r)
	if err != nil {
		return Requeued{}, err
	}
	made, err := d.publishAgain(ctx, r.Letter, task, body)
	if err != nil {
		return Requeued{}, err
	}
	if err := d.Drop(ctx, r.Letter); err != nil {
		return made, fmt.Errorf("the task was requeued as %s, but its letter stays: drop it: %w", made.TaskID, err)
	}
	if made.Before {
		return made, nil
	}
	for _, link := range []events.RunEvent{
		{TaskID: r.Letter.ID, Event: events.EventRequeued, RequeuedAs: made.TaskID},
		{TaskID: made.TaskID, Kind: task.Kind, Event: events.EventRequeued, RequeuedFrom: r.Letter.ID},
	} {
		if err := d.note(ctx, link); err != nil {
			made.Unlinked = err.Error()
			break
		}
	}
	return made, nil
}

// notAlive refuses a letter whose task waits or runs: it would be done twice.
func (d *Desk) notAlive(ctx context.Context, letter Letter) error {
	v := TaskView{TaskID: letter.ID}
	if err := d.addRun(ctx, &v); err != nil {
		return err
	}
	if err := d.addQueued(ctx, &v); err != nil {
		return err
	}
	if v.Run == nil && v.subject == "" {
		return nil
	}
	where := "waits in the queue"
	if v.Run != nil {
		where = "has an open run with worker " + v.Run.Worker
	}
	return fmt.Errorf("the task %s %s: requeued now it would be done twice; look with `dispatchd show %s`, or use --force", letter.ID, where, letter.ID)
}

// newRequest makes the new body and checks it as a worker will.
func (d *Desk) newRequest(r Requeue) (tasks.Task, []byte, error) {
	body, what := r.Body, "the corrected body"
	subject := tasks.SubjectParts{ID: tasks.NewID()}
	if r.Body == nil {
		body, what = r.Letter.body, "the body of "+r.Letter.Address
		if r.Letter.Task == "" {
			return tasks.Task{}, nil, fmt.Errorf("the subject of %s (%s) names no task: give the corrected body with --body FILE", r.Letter.Address, r.Letter.Subject)
		}
		subject.Kind, subject.Target = r.Letter.Task, r.Letter.Job
	}
	body, err := withID(body, subject.ID)
	var task tasks.Task
	if err == nil {
		task, err = tasks.Decode(tasks.Message{Body: body, Subject: subject})
	}
	if err == nil {
		return task, body, nil
	}
	hint := ""
	if r.Body == nil {
		hint = "; give a corrected one with --body FILE"
	}
	return tasks.Task{}, nil, fmt.Errorf("%s is no task that a worker takes: %w%s", what, err, hint)
}

// errNoObject is a body that has no fields.
var errNoObject = errors.New("failed to parse the body: it is no JSON object")

// withID puts an id into a body; its other fields stay as they are.
func withID(body []byte, id string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, errNoObject // the decoder's words would quote the body
	}
	var kind string
	if err := json.Unmarshal(fields["task"], &kind); err != nil {
		return nil, errors.New("its task is missing or no text")
	}
	return tasks.Encode(tasks.Kind(kind), id, fields["params"])
}

// publishAgain puts the request into the queue. Its key is the letter's, so that
// a second try right after one whose answer was lost makes no second request.
func (d *Desk) publishAgain(ctx context.Context, letter Letter, task tasks.Task, body []byte) (Requeued, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	parts := task.Subject()
	msg := nats.NewMsg(d.topology.TaskSubject(parts.Kind, parts.Target, parts.ID))
	msg.Data = body
	for name, values := range letter.header {
		if !strings.HasPrefix(name, "Nats-") && !isLetters(name) {
			msg.Header[name] = values
		}
	}
	msg.Header.Set(queue.HeaderRequeuedFrom, letter.ID)
	ack, err := d.js.PublishMsg(ctx, msg, jetstream.WithMsgID("requeue."+letter.Address))
	if err != nil {
		return Requeued{}, fmt.Errorf("publish the task on %s: %w", msg.Subject, err)
	}
	if ack.Duplicate {
		return Requeued{From: letter.ID, Before: true}, nil
	}
	return Requeued{From: letter.ID, TaskID: task.ID, Subject: msg.Subject}, nil
}

// isLetters reports whether a header is what made the message a dead letter.
func isLetters(name string) bool {
	switch name {
	case headerReason, headerError, headerAttempt, headerSubject:
		return true
	}
	return false
}

// note publishes a run event. It informs: a lost one changes nothing.
func (d *Desk) note(ctx context.Context, e events.RunEvent) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	e.At = events.Stamp(time.Now())
	body, err := json.Marshal(e)
	if err == nil {
		_, err = d.js.Publish(ctx, d.subjects.Event(e.TaskID, e.Event), body)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}
