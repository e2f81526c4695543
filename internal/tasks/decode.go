package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxBody is the largest task in bytes.
const MaxBody = 1 << 20

// maxIdentityBody is up to which size a task that is too large is still read
// for its ids, so that somebody hears of its end.
const maxIdentityBody = 4 * MaxBody

// SubjectParts are the last three tokens of a queued task's subject. A part
// that is empty is not compared.
type SubjectParts struct {
	Kind   string
	Target string
	ID     string
}

// Message is a task as it came.
type Message struct {
	// Body is {"task", "params", "id"} as JSON.
	Body []byte
	// Subject is that of the queue; the zero value says that the task does not
	// come from the queue, and then a destroy may name several jobs.
	Subject SubjectParts
	// DefaultID is the id where neither the body nor the subject has one.
	DefaultID string
}

// Decode reads, defaults and validates a task. Unknown fields are ignored; of a
// field that is given twice the last counts. On an error, always a *Failure
// with Problems as its cause, the task holds as much as could be read:
// Identified says whether that is enough to tell its owner.
func Decode(msg Message) (Task, error) {
	d := newDecoder()
	task := Task{ID: firstValidID(msg.Subject.ID, msg.DefaultID), Kind: knownKind(msg.Subject.Kind)}
	if len(msg.Body) > MaxBody {
		d.tooLarge("body", len(msg.Body))
	}
	if len(msg.Body) > maxIdentityBody {
		return task, d.failure()
	}
	if fields := d.body(msg.Body); fields != nil {
		name := d.envelope(&task, fields, msg)
		d.readParams(&task, d.params(fields["params"]), msg.Subject != SubjectParts{})
		d.checkSubject(task, name, msg.Subject)
	}
	return task, d.failure()
}

// DecodeMeta reads a task from the values of NOMAD_META_TASK and
// NOMAD_META_PARAMS; the params are an object as JSON or as base64 of JSON. A
// destroy may name several jobs. Errors are those of Decode, but an unset or
// unknown task and unset params are each reported alone, in this order.
func DecodeMeta(kind, params, id string) (Task, error) {
	d := newDecoder()
	task := Task{ID: firstValidID(id), Kind: knownKind(kind)}
	switch {
	case kind == "":
		d.report("", "NOMAD_META_TASK is not set")
	case task.Kind == "":
		d.report("NOMAD_META_TASK", unknownTask(), quoted(kind))
	case strings.TrimSpace(params) == "":
		d.report("", "NOMAD_META_PARAMS is not set")
	case len(params) > MaxBody:
		d.tooLarge("NOMAD_META_PARAMS", len(params))
	default:
		d.checkToken("id", id)
		d.checkUTF8("params", []byte(params))
		d.readParams(&task, d.paramsText(params), false)
	}
	return task, d.failure()
}

// Encode returns the body of a task, as Decode reads it. The params must be JSON.
func Encode(kind Kind, id string, params json.RawMessage) ([]byte, error) {
	body := struct {
		Task   Kind            `json:"task"`
		Params json.RawMessage `json:"params"`
		ID     string          `json:"id,omitempty"`
	}{kind, params, id}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, fmt.Errorf("encode the body of %s: %w", kind, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Subject returns the last three tokens of the subject to which the task is
// published. A task about several jobs has no target.
func (t Task) Subject() SubjectParts {
	parts := SubjectParts{Kind: string(t.Kind), ID: t.ID}
	if targets := t.Targets(); len(targets) == 1 {
		parts.Target = TargetToken(targets[0])
	}
	return parts
}

// Identified reports whether a task that Decode refused can still be ended in
// public: it has a valid id, and a deployment also a deployment id that is a
// token and a service id.
func (t Task) Identified() bool {
	if !ValidID(t.ID) {
		return false
	}
	if t.Kind.IsDeploy() {
		return t.Deploy != nil && ValidID(t.Deploy.DeploymentID) && t.Deploy.ServiceID != ""
	}
	return t.Kind == KindDestroyJobPack && t.Destroy != nil
}

// body splits the message into its fields; nil where that cannot be done.
func (d *decoder) body(raw []byte) map[string]json.RawMessage {
	if err := checkJSON(raw); err != nil {
		d.report("", "failed to parse the body: %s", word(err.Error()))
		return nil
	}
	fields, ok := members(raw)
	if !ok {
		d.report("", "failed to parse the body: expected an object, got %s", word(jsonType(raw)))
		return nil
	}
	d.checkShape("body", raw)
	return fields
}

// checkShape reports what makes JSON unfit for us although it is valid.
func (d *decoder) checkShape(path string, raw []byte) {
	d.checkUTF8(path, raw)
	if depth := depthOf(raw); depth > maxDepth {
		d.report(path, "nested %s deep, at most %s", number(depth), number(maxDepth))
	}
}

// checkUTF8 refuses text that decoding would change without a word.
func (d *decoder) checkUTF8(path string, raw []byte) {
	if !utf8.Valid(raw) {
		d.report(path, "not valid UTF-8")
	}
}

// envelope reads the task's name and id; it returns the name as it came. The
// subject's id stands where the body's is missing or contradicts it.
func (d *decoder) envelope(task *Task, fields map[string]json.RawMessage, msg Message) string {
	var name, id string
	d.field(fields["task"], reflect.ValueOf(&name).Elem(), place{path: "task", rule: fieldRule{required: "always"}})
	d.field(fields["id"], reflect.ValueOf(&id).Elem(), place{path: "id"})
	if kind := knownKind(name); kind != "" {
		task.Kind = kind
	} else if name != "" {
		task.Kind = ""
		d.report("task", unknownTask(), quoted(name))
	}
	switch {
	case id == "":
		d.checkToken("id", firstNonEmpty(msg.Subject.ID, msg.DefaultID))
	case d.checkToken("id", id) && msg.Subject.ID == "":
		task.ID = id
	case ValidID(id) && msg.Subject.ID != id:
		d.contradiction("id", "id", msg.Subject.ID, id)
	}
	return name
}

// readParams decodes, defaults and validates the params of the task's kind.
func (d *decoder) readParams(task *Task, params json.RawMessage, queued bool) {
	if params == nil || task.Kind == "" {
		return
	}
	d.kind = task.Kind
	at := place{path: "params"}
	if task.Kind == KindDestroyJobPack {
		task.Destroy = &Destroy{}
		d.object(params, reflect.ValueOf(task.Destroy).Elem(), at)
		d.checkDestroy(task.Destroy, queued)
		return
	}
	task.Deploy = &Deploy{}
	d.object(params, reflect.ValueOf(task.Deploy).Elem(), at)
	task.Deploy.normalise(task.Kind)
	d.checkDeploy(task.Deploy)
}

// checkSubject refuses a body that is not about what its subject says.
func (d *decoder) checkSubject(task Task, name string, subject SubjectParts) {
	if subject.Kind != "" && knownKind(name) != "" && subject.Kind != name {
		d.contradiction("task", "task", subject.Kind, name)
	}
	targets := task.Targets()
	if subject.Target == "" || len(targets) != 1 || targets[0] == "" {
		return
	}
	if token := TargetToken(targets[0]); token != subject.Target {
		d.contradiction("subject", "target", subject.Target, token)
	}
}

// contradiction reports that the subject and the body name different things.
// It wins over an invalid task: the publisher is at fault, not the user.
func (d *decoder) contradiction(path, what, inSubject, inBody string) {
	if d.reason == ReasonInvalidTask {
		d.reason = ReasonSubjectMismatch
	}
	d.report(path, "the subject's "+what+" is %s, the body's is %s", quoted(inSubject), quoted(inBody))
}

// tooLarge reports the size. What follows is read for the task's ids alone.
func (d *decoder) tooLarge(path string, size int) {
	d.reason = ReasonTaskTooLarge
	d.report(path, "%s bytes, at most %s", number(size), number(MaxBody))
}

// failure ends the decoding: nil where there was no problem.
func (d *decoder) failure() error {
	if len(d.findings) == 0 {
		return nil
	}
	if d.reason == ReasonTaskTooLarge {
		d.findings = d.findings[:1]
	}
	problems := make(Problems, len(d.findings))
	for i, f := range d.findings {
		problems[i] = f.render(d.secrets)
	}
	return Fail(d.reason, d.reason.Row().Message+": "+problems.Error(), problems)
}

// knownKind returns the kind of that name, empty where there is none.
func knownKind(name string) Kind {
	for _, kind := range Kinds() {
		if string(kind) == name {
			return kind
		}
	}
	return ""
}

// unknownTask is the format of the message about a task of another name.
func unknownTask() string {
	names := make([]string, 0, len(Kinds()))
	for _, kind := range Kinds() {
		names = append(names, string(kind))
	}
	return "unknown task %s, expected one of " + strings.Join(names, ", ")
}

func firstValidID(ids ...string) string {
	for _, id := range ids {
		if ValidID(id) {
			return id
		}
	}
	return ""
}

func firstNonEmpty(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func number(n int) shown { return word(strconv.Itoa(n)) }
