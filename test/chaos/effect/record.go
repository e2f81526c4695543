package effect

import (
	"strings"
	"time"
)

// Story is the name of the stream in which the driver of a long run writes down
// what it did to the service: the faults, and the tasks that were accepted.
const Story = "STORY"

// Subjects of the story.
const (
	StorySubjects   = "story.>"
	FaultSubject    = "story.fault"
	AcceptedSubject = "story.accepted"
	AgainSubject    = "story.again"
	RunSubject      = "story.run"
)

// Run is the first message of a story.
type Run struct {
	Seed  uint64    `json:"seed"`
	Began time.Time `json:"began"`
	// AckWait and LeaseTTL are the pace of the workers.
	AckWait  time.Duration `json:"ack_wait"`
	LeaseTTL time.Duration `json:"lease_ttl"`
	// Load is the machine's load average at the start.
	Load string `json:"load"`
}

// Fault is one thing that was done to the service.
type Fault struct {
	// Kind is its name: "kill", "stall", "node-kill".
	Kind string `json:"kind"`
	// Victim is a worker's or a node's name; "all" is every node.
	Victim string    `json:"victim"`
	At     time.Time `json:"at"`
	// Until is when the driver took the fault back.
	Until time.Time `json:"until,omitzero"`
	// Detail says more: the message at which a worker was stopped.
	Detail string `json:"detail,omitempty"`
}

// Gone reports whether the victim is a worker that never comes back.
func (f Fault) Gone() bool { return strings.HasPrefix(f.Kind, "kill") || f.Kind == "term" }

// Accepted is a task that the queue has acknowledged, or a run-once that has
// begun: it is promised an end.
type Accepted struct {
	TaskID string `json:"task_id"`
	Kind   string `json:"kind"`
	Job    string `json:"job"`
	// Want is how it ends where nothing happens to it: a plan's outcome, or one
	// of the words below.
	Want string `json:"want"`
	// Sequence is the message's place in the queue; 0 where the answer was lost.
	Sequence uint64 `json:"sequence,omitempty"`
	// Cancelled and Superseded say that it may end so.
	Cancelled  bool      `json:"cancelled,omitempty"`
	Superseded bool      `json:"superseded,omitempty"`
	At         time.Time `json:"at"`
}

// Again is a known id that was published once more.
type Again struct {
	TaskID string `json:"task_id"`
	// Other is true where its body was another one: either may have been first.
	Other bool `json:"other,omitempty"`
}

// What a task may come to beside a plan's outcome.
const (
	// Destroyed is a destroy that says so.
	Destroyed = "destroyed"
	// Invalid is a body that cannot be read: a dead letter, and a failed event
	// where its ids can be read.
	Invalid = "invalid"
	// Letter is a dead letter without a task: nobody can be told.
	Letter = "letter"
	// Once is a run-once that is killed and never comes back.
	Once = "once"
)
