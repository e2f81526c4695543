// Package check reads what workers left in the streams and says what breaks a
// promise. It knows nothing of the workers: only what a backend, a customer and
// an operator could read.
package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// Report is what the streams say.
type Report struct {
	// Tasks counts the terminal records.
	Tasks int
	// Lost, Twice, Contradicted and Disordered count the violations of their kind.
	Lost, Twice, Contradicted, Disordered int
	Violations                            []string

	ends map[string]terminal
	// signs are what was seen of each task and when, in no order.
	signs map[string][]sign
	// effectsOf are the effects of each job, in their order.
	effectsOf map[string][]effect.Effect
}

// message is one stored message.
type message struct {
	subject string
	header  nats.Header
	data    []byte
	stored  time.Time
}

// terminal is the part of a terminal record that is compared.
type terminal struct {
	TaskID    string   `json:"task_id"`
	Kind      string   `json:"task"`
	Status    string   `json:"status"`
	Reason    string   `json:"reason"`
	Destroyed []string `json:"destroyed"`
}

// Read reads the streams of one server. The streams are the tests' own:
// DEPLOYMENTS, LOGS, EFFECTS and DISPATCH_EVENTS. Sent are the ids of the tasks
// that were accepted; none means those that have an end.
func Read(ctx context.Context, js jetstream.JetStream, sent ...string) (Report, error) {
	r := Report{signs: map[string][]sign{}, effectsOf: map[string][]effect.Effect{}}
	done, err := read(ctx, js, "DISPATCH_EVENTS", "dispatch.done.*")
	if err != nil {
		return r, err
	}
	ends := map[string]terminal{}
	for _, m := range done {
		var t terminal
		if err := json.Unmarshal(m.data, &t); err != nil {
			return r, fmt.Errorf("read the terminal record on %s: %w", m.subject, err)
		}
		if _, twice := ends[t.TaskID]; twice {
			r.twice("task %s has two terminal records", t.TaskID)
		}
		ends[t.TaskID] = t
		r.saw(t.TaskID, sign{at: m.stored, over: true})
	}
	r.Tasks = len(ends)
	for _, id := range sent {
		if _, ended := ends[id]; !ended {
			r.lost("task %s has no terminal record", id)
		}
	}
	r.ends = ends
	for _, check := range []func(context.Context, jetstream.JetStream, map[string]terminal) error{r.events, r.logs, r.effects} {
		if err := check(ctx, js, ends); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *Report) lost(format string, args ...any)  { r.note(&r.Lost, "lost", format, args) }
func (r *Report) twice(format string, args ...any) { r.note(&r.Twice, "twice", format, args) }
func (r *Report) contradicted(format string, args ...any) {
	r.note(&r.Contradicted, "contradicted", format, args)
}

func (r *Report) disordered(format string, args ...any) {
	r.note(&r.Disordered, "out of order", format, args)
}

func (r *Report) note(count *int, kind, format string, args []any) {
	*count++
	r.Violations = append(r.Violations, kind+": "+fmt.Sprintf(format, args...))
}

// readTries bounds how often one message is asked for: a cluster may just have
// changed its leaders.
const readTries = 10

// read returns the messages of a subject in their order, each read from the
// stream's leader.
func read(ctx context.Context, js jetstream.JetStream, name, subject string) ([]message, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	var all []message
	for from := uint64(1); ; {
		m, err := next(ctx, stream, from, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", name, err)
		}
		all = append(all, message{subject: m.Subject, header: m.Header, data: m.Data, stored: m.Time})
		from = m.Sequence + 1
	}
}

func next(ctx context.Context, stream jetstream.Stream, from uint64, subject string) (m *jetstream.RawStreamMsg, err error) {
	for range readTries {
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		m, err = stream.GetMsg(bounded, from, jetstream.WithGetMsgSubject(subject))
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || ctx.Err() != nil {
			break
		}
	}
	return m, err
}

// events compares the legacy events with the terminal records.
func (r *Report) events(ctx context.Context, js jetstream.JetStream, ends map[string]terminal) error {
	all, err := read(ctx, js, "DEPLOYMENTS", ">")
	if err != nil {
		return err
	}
	byTask := map[string][]string{}
	keys := map[string]bool{}
	for _, m := range all {
		key, id := m.header.Get(nats.MsgIdHdr), m.header.Get("Dispatch-Task-Id")
		if keys[key] {
			r.twice("event %s stands twice", key)
		}
		keys[key] = true
		byTask[id] = append(byTask[id], m.subject)
	}
	for id, end := range ends {
		r.compare(id, end, byTask[id])
	}
	for id := range byTask {
		if _, ended := ends[id]; !ended {
			r.lost("task %s has events %v and no terminal record", id, byTask[id])
		}
	}
	return nil
}

func (r *Report) compare(id string, end terminal, events []string) {
	if strings.HasPrefix(end.Kind, "destroy") {
		if len(events) != len(end.Destroyed) {
			r.contradicted("task %s destroyed %v and sent %v", id, end.Destroyed, events)
		}
		return
	}
	outcome := "deployment." + end.Status
	switch last := len(events) - 1; {
	case last < 0:
		r.lost("task %s ended as %s and sent no event", id, end.Status)
	case events[last] != outcome:
		r.contradicted("task %s ended as %s and its events are %v", id, end.Status, events)
	case last > 1 || (last == 1 && events[0] != "deployment.status.changed"):
		r.contradicted("task %s has the events %v", id, events)
	}
}

// logs looks whether each log ends once, after its last line, and counts on.
func (r *Report) logs(ctx context.Context, js jetstream.JetStream, ends map[string]terminal) error {
	all, err := read(ctx, js, "LOGS", ">")
	if err != nil {
		return err
	}
	ended := map[string]string{}
	last := map[string]uint64{}
	for _, m := range all {
		id, status := deploymentOf(m)
		if strings.HasPrefix(m.subject, "build.log.end.") {
			if ended[id] != "" {
				r.twice("the log of %s ends twice", id)
			}
			ended[id] = status
			continue
		}
		var line struct {
			Sequence uint64
			Content  string
		}
		_ = json.Unmarshal(m.data, &line)
		r.saw(strings.TrimPrefix(id, "d-"), sign{at: m.stored, worker: workerIn(line.Content)})
		if ended[id] != "" {
			r.disordered("line %d of the log of %s follows its end", line.Sequence, id)
		}
		if line.Sequence != last[id]+1 {
			r.disordered("line %d of the log of %s follows line %d", line.Sequence, id, last[id])
		}
		last[id] = line.Sequence
	}
	for id, end := range ends {
		if strings.HasPrefix(end.Kind, "destroy") {
			continue
		}
		want := map[string]string{"succeeded": "success", "failed": "failed"}[end.Status]
		if got := ended["d-"+id]; got != want {
			r.contradicted("task %s ended as %s and its log as %q", id, end.Status, got)
		}
	}
	return nil
}

func deploymentOf(m message) (id, status string) {
	var body struct {
		DeploymentID string `json:"deploymentId"`
		Status       string `json:"status"`
	}
	_ = json.Unmarshal(m.data, &body)
	return body.DeploymentID, body.Status
}
