// Package effect is what the chaos workers do in the place of real side effects,
// and what its checker reads: messages in a stream, in the order in which they
// were made.
package effect

import (
	"fmt"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Stream is the name of the stream of effects.
const Stream = "EFFECTS"

// Subjects is what the stream keeps.
const Subjects = "effects.>"

// The kinds of side effect.
const (
	Build    = "build"
	Register = "register"
	Destroy  = "destroy"
)

// Effect is one side effect of a task.
type Effect struct {
	Kind   string `json:"kind"`
	TaskID string `json:"task_id"`
	Target string `json:"target"`
	Worker string `json:"worker"`
	// Attempt is this process's own for this try: a worker may get a task again,
	// but an attempt that has been followed by another one must be over.
	Attempt string `json:"attempt"`
}

// Subject is where an effect is written.
func Subject(target, taskID string) string {
	return "effects." + tasks.TargetToken(target) + "." + taskID
}

// How a deployment ends that nothing happens to.
const (
	OK    = "ok"
	Fail  = "fail"
	Panic = "panic"
)

// Plan is what a deployment does, as its image's tag says: "ok-300ms".
type Plan struct {
	Outcome string
	// Work is how long each of its two working stages takes.
	Work time.Duration
}

// Tag is the plan as an image's tag.
func (p Plan) Tag() string { return fmt.Sprintf("%s-%dms", p.Outcome, p.Work.Milliseconds()) }

// ParsePlan reads a tag.
func ParsePlan(tag string) (Plan, error) {
	outcome, work, found := strings.Cut(tag, "-")
	duration, err := time.ParseDuration(work)
	if !found || err != nil || (outcome != OK && outcome != Fail && outcome != Panic) {
		return Plan{}, fmt.Errorf("the tag %q is no plan like ok-300ms", tag)
	}
	return Plan{Outcome: outcome, Work: duration}, nil
}
