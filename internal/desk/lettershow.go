package desk

import (
	"encoding/json"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// LetterView is a dead letter without its secrets.
type LetterView struct {
	At time.Time `json:"at"`
	Letter
	// Headers are all of them as they came, but for secrets.
	Headers map[string][]string `json:"headers"`
	// Body is the body, its params as an object and its fields by name; Text stands
	// in its place where the body cannot be read.
	Body json.RawMessage `json:"body,omitempty"`
	Text string          `json:"text,omitempty"`
	// Refusal says why the letter cannot be requeued as it is; empty where it can.
	Refusal string `json:"refusal,omitempty"`
}

// Masked returns what may be shown of a letter.
func (d *Desk) Masked(letter Letter) LetterView {
	view := LetterView{At: d.now(), Letter: letter}
	k := &masker{sights: tasks.FieldSights()}
	// What can be read of the task knows its own secrets.
	task, _ := tasks.Decode(tasks.Message{Body: letter.body, DefaultID: letter.ID})
	k.secrets = task.Secrets()
	view.Body, view.Text = k.body(letter.body)
	view.Headers = k.headers(letter.header)
	hide := k.redactor()
	view.Message = redact.CleanLine(hide.String(inText(letter.Message)))
	if _, _, err := d.newRequest(Requeue{Letter: letter}); err != nil {
		view.Refusal = redact.CleanLine(hide.String(err.Error()))
	}
	return view
}

// Raw returns the body as it came, secrets included.
func (l Letter) Raw() []byte { return l.body }
