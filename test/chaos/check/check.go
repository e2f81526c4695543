// Package check reads what workers left in the streams and says what breaks a
// promise. It knows nothing of the workers: only what a backend, a customer and
// an operator could read.
package check

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
}

// message is one stored message.
type message struct {
	subject string
	header  nats.Header
	data    []byte
	stored  int64
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
	var r Report
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
	}
	r.Tasks = len(ends)
	for _, id := range sent {
		if _, ended := ends[id]; !ended {
			r.lost("task %s has no terminal record", id)
		}
	}
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

// read returns the messages of a subject in their order; none where there is no
// such stream.
func read(ctx context.Context, js jetstream.JetStream, name, subject string) ([]message, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", name, err)
	}
	all := make([]message, 0, info.NumPending)
	for range info.NumPending {
		m, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", name, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		all = append(all, message{subject: m.Subject(), header: m.Headers(), data: m.Data(), stored: meta.Timestamp.UnixNano()})
	}
	return all, nil
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
		var line struct{ Sequence uint64 }
		_ = json.Unmarshal(m.data, &line)
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

// effects looks whether the side effects of a job are made by one task after the
// other, in the order of their ends, and those of a task by one worker after
// the other.
func (r *Report) effects(ctx context.Context, js jetstream.JetStream, ends map[string]terminal) error {
	all, err := read(ctx, js, effect.Stream, ">")
	if err != nil {
		return err
	}
	tasksOf := map[string][]string{}
	workersOf := map[string][]string{}
	for _, m := range all {
		var e effect.Effect
		if err := json.Unmarshal(m.data, &e); err != nil {
			return fmt.Errorf("read the effect on %s: %w", m.subject, err)
		}
		r.follows("job "+e.Target, tasksOf, e.Target, e.TaskID)
		r.follows("task "+e.TaskID, workersOf, e.TaskID, e.Worker)
	}
	return nil
}

// follows notes who makes an effect now: whoever was followed by somebody else
// must not come back.
func (r *Report) follows(what string, order map[string][]string, key, who string) {
	before := order[key]
	if len(before) > 0 && before[len(before)-1] == who {
		return
	}
	if slices.Contains(before, who) {
		r.disordered("%s: %s makes an effect again after %s", what, who, before[len(before)-1])
	}
	order[key] = append(before, who)
}
