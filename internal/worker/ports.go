package worker

import (
	"context"
	"errors"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Queue gives out deliveries. It is safe for concurrent use: every slot fetches
// for itself and only when it is free.
type Queue interface {
	// Fetch blocks until there is a delivery. It returns io.EOF when there will
	// never be another, and the context's error when that ends first. Any other
	// error is passing: the slot waits and asks again. It is asked once more after
	// the context has ended.
	Fetch(ctx context.Context) (Delivery, error)
}

// Delivery is one message handed to one slot. After Done, Retry or Discard no
// other verb may be used; Extend may run beside them.
type Delivery interface {
	Message() Message
	// Crowd returns who goes first where the message has come for the first time
	// and a moment ago stood behind at least two others of its job; else nil. It
	// asks nobody.
	Crowd() *BlockedError
	// Turn takes the lease of the task's targets. It is given only where none of
	// them is leased and no older task of theirs waits: else *BlockedError.
	Turn(ctx context.Context, holder Holder) (Lease, error)
	// Newer returns the id of the newest deployment of the same target that
	// waits behind this one; empty where there is none.
	Newer(ctx context.Context) (id string, err error)
	// Decode returns the task. Beside an error it returns what could be read of it.
	Decode() (tasks.Task, error)
	// Extend says that the delivery is still being worked on.
	Extend(ctx context.Context) error
	// Done acknowledges and returns when the queue has confirmed it.
	Done(ctx context.Context) error
	// Retry hands the message back, to be delivered again after the delay.
	Retry(ctx context.Context, after time.Duration) error
	// Discard writes the message to the dead letters and then ends it.
	Discard(ctx context.Context, why DeadLetter) error
}

// Message is what a slot needs to know of a delivery beside its task.
type Message struct {
	// Subject is where the message was published; empty for run-once.
	Subject string
	// Queued is when the queue stored it, by the queue's clock.
	Queued time.Time
	// Deliveries counts how often it was handed out, this time included.
	Deliveries int
	// Traceparent is the publisher's W3C header; empty where there is none.
	Traceparent string
	// Last is true where a task that is handed back would not come again.
	Last bool
}

// DeadLetter says why a message is put away.
type DeadLetter struct {
	// ID is the task's id; empty where none can be read.
	ID      string
	Reason  tasks.Reason
	Message string
	Attempt int
}

// Holder is who asks for a lease.
type Holder struct {
	TaskID  string
	Targets []string
}

// BlockedError says why it is not a delivery's turn.
type BlockedError struct {
	// Target is the job, By the task that goes first.
	Target, By string
	// Mine is true where By is the task itself, in another worker's hands.
	Mine bool
	// After is when it is worth asking again.
	After time.Duration
	// Fence is that of the lease for which the task waits: what is claimed although
	// it is not the task's turn is claimed under it.
	Fence uint64
}

func (e *BlockedError) Error() string {
	return "job " + e.Target + " waits for task " + e.By
}

// Lease is the right to change a task's targets: one holder at a time. It ends
// by itself unless it is renewed. Its methods are not safe for concurrent use,
// but for Valid.
type Lease interface {
	// Renew prolongs the lease by compare-and-set: ErrLeaseGone where it has
	// ended, or may have between two writes of ours, ErrLeaseLost where somebody
	// else has it.
	Renew(ctx context.Context) error
	// Retake takes a lease again that has ended: ErrLeaseLost where somebody
	// else was faster, or where the task has lost its turn.
	Retake(ctx context.Context) error
	// Fence grows from one holder of the targets to the next, and with Retake; 0 is
	// that of a task that needs no lease.
	Fence() uint64
	// Valid reports whether nobody else can have the lease yet, by our own clock.
	Valid() bool
	// Release gives it up; one that is not ours any more is left alone.
	Release(ctx context.Context) error
}

// ErrLeaseGone says that a lease has ended and nobody has taken it.
var ErrLeaseGone = errors.New("the lease has ended")

// ErrLeaseLost says that somebody else has the lease.
var ErrLeaseLost = errors.New("the lease is somebody else's")

// ErrHeld is returned by Runs.Claim where the run is another worker's and was
// to be respected, or was claimed under a later lease.
var ErrHeld = errors.New("another worker has claimed the task")

// ErrOtherTask is returned by Runs.Claim where the id is that of another task,
// whose run is open: one with another subject, or about other jobs.
var ErrOtherTask = errors.New("another task has the same id")

// ErrClaimLost is returned by a Claim's methods once another claim was made.
// Its holder says nothing any more: the task is somebody else's.
var ErrClaimLost = errors.New("the task was claimed by another worker")

// ErrNoRun is returned by Runs.Claim where an open run was asked for and there is none.
var ErrNoRun = errors.New("the task has no open run")

// Runs keeps one record for each open run. It is what a successor respects.
type Runs interface {
	// Claim makes this worker the owner of the task's run and counts an attempt.
	// Unless it resumes, the run must be that of the same message: ErrOtherTask.
	Claim(ctx context.Context, request ClaimRequest) (Claim, error)
}

// ClaimRequest says which run to claim and how.
type ClaimRequest struct {
	TaskID string
	// Resume claims the run only where it exists already, else ErrNoRun.
	Resume bool
	// Sweep is the revision of the record that was found without a worker: the run
	// is claimed only to end it, which is no attempt, and ErrHeld where somebody has
	// written the record since. 0 asks for nothing.
	Sweep uint64
	// Respect claims the run only where no other worker has it, else ErrHeld.
	Respect bool
	// Fence is that of the lease that the claim is made under: ErrHeld where the run
	// was claimed under a later one. 0 asks for nothing.
	Fence uint64
	// New is what the record of a run that begins holds.
	New Run
}

// Claim is the ownership of one run until somebody else claims it. It is safe
// for concurrent use.
type Claim interface {
	// Run returns the record as this claim last read or wrote it.
	Run() Run
	// Holds returns nil where no other claim has been made, else ErrClaimLost.
	Holds(ctx context.Context) error
	// Age is how long ago the first claim was made, by the server's clock, at
	// the moment of this one.
	Age() time.Duration
	// Save changes the record by compare-and-set: ErrClaimLost where it was
	// claimed since.
	Save(ctx context.Context, change func(*Run)) error
	// Delete removes the record; one that is gone already is nil.
	Delete(ctx context.Context) error
}

// Run is the record of one open run.
type Run struct {
	// Claims counts the claims: the fence. Worker holds the newest.
	Claims int    `json:"claims"`
	Worker string `json:"worker"`
	// Attempts counts the tries, this one included; a shutdown gives its try back.
	Attempts int `json:"attempts"`
	// HandedBack counts the tries that ended by handing the task back. Those
	// that neither ended nor were handed back lost their worker.
	HandedBack int `json:"handed_back,omitempty"`
	// Fence is that of the lease under which the newest claim was made.
	Fence uint64 `json:"fence,omitempty"`
	// Reached is what the attempts so far have done that need not be done again.
	Reached tasks.Checkpoint `json:"reached,omitzero"`
	// Queue is the subject of the task's message; empty where it never was in the
	// queue. Target is the one whose lease it needs.
	Queue   string   `json:"queue,omitempty"`
	Targets []string `json:"targets,omitempty"`
	// Since is, for each subject of a legacy event, how far it had been read
	// when the run began: none of the task's events stands before that.
	Since map[string]uint64 `json:"since,omitempty"`
	// Will is what is said where no worker can ever say anything better.
	Will *Settlement `json:"will,omitempty"`
	// Announced is true where IN_PROGRESS is out for certain.
	Announced bool `json:"announced,omitempty"`
	// LogSequence is the number of the last log line that is known to be out.
	LogSequence uint64 `json:"log_sequence,omitempty"`
	// Outcome is set once the task has ended: whoever finds it completes it.
	Outcome *Settlement `json:"outcome,omitempty"`
}

// Lost counts the tries before this one whose worker died.
func (r Run) Lost() int { return r.Attempts - 1 - r.HandedBack }

// Settlement is a task's outcome and everything that must be said about it,
// byte for byte, so that whoever completes it says the same.
type Settlement struct {
	TaskID string     `json:"task_id"`
	Kind   tasks.Kind `json:"task"`
	// Queue is the subject of the message that brought the task; empty where none did.
	Queue string `json:"queue,omitempty"`
	// Status is "succeeded" or "failed".
	Status string `json:"status"`
	// Reason, Class, Fault, Stage and Message are empty on success.
	Reason  tasks.Reason `json:"reason,omitempty"`
	Class   tasks.Class  `json:"class,omitempty"`
	Fault   tasks.Fault  `json:"fault,omitempty"`
	Stage   tasks.Stage  `json:"stage,omitempty"`
	Message string       `json:"message,omitempty"`
	// Image and Commit are of deployments that came that far.
	Image    string   `json:"image,omitempty"`
	Commit   string   `json:"commit,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Attempt  int      `json:"attempt"`
	// Destroyed and Undestroyed are the job ids of a destroy.
	Destroyed   []string `json:"destroyed,omitempty"`
	Undestroyed []string `json:"undestroyed,omitempty"`
	// DeadLetter is true where the message goes to the dead letters.
	DeadLetter bool `json:"dead_letter,omitempty"`
	// Header is what the terminal record carries.
	Header map[string]string `json:"header,omitempty"`
	// Events are the legacy events; LogEnd ends the build log, nil where there is none.
	Events []Event `json:"events,omitempty"`
	LogEnd *Event  `json:"log_end,omitempty"`
}

// Succeeded reports whether the task reached its goal.
func (s Settlement) Succeeded() bool { return s.Status == StatusSucceeded }

// The two statuses of a settlement.
const (
	StatusSucceeded = "succeeded"
	StatusFailed    = "failed"
)

// Event is one message to the outside, exactly as it goes out.
type Event struct {
	// Key is the event key and the Nats-Msg-Id.
	Key     string            `json:"key"`
	Subject string            `json:"subject"`
	Body    []byte            `json:"body"`
	Header  map[string]string `json:"header,omitempty"`
	// Since is how far the subject had been read when the run began: the event
	// does not stand before that.
	Since uint64 `json:"since,omitempty"`
}

// Wait is what a task waits for.
type Wait struct {
	// Behind is the task of the same job that goes first; empty where the task cannot
	// begin for another reason.
	Behind string
	// Message is that reason, redacted.
	Message string
}

// Publisher says to the world what happens to tasks.
type Publisher interface {
	// Ended returns the settlement in the task's terminal record, nil where it
	// has none.
	Ended(ctx context.Context, id string) (*Settlement, error)
	// Duplicate notes that a task which has ended was asked for again; traceparent
	// may be empty.
	Duplicate(ctx context.Context, id, traceparent string)
	// Waiting notes that a task waits.
	Waiting(ctx context.Context, about Subject, what Wait)
	// Cancelled reports whether somebody has asked for the task's end.
	Cancelled(ctx context.Context, id string) (bool, error)
	// Begin is what the record of a new run must hold so that its events stay
	// single and its end can be said by anybody.
	Begin(ctx context.Context, about Subject) (Run, error)
	// End writes the terminal record by compare-and-set and returns the one
	// that stands: ours, or that of whoever came first.
	End(ctx context.Context, s Settlement) (Settlement, error)
	// Announce publishes the legacy events, each once.
	Announce(ctx context.Context, s Settlement) error
	// EndLog publishes the end of the build log.
	EndLog(ctx context.Context, s Settlement) error
	// Open starts the task's stream of events and log lines.
	Open(ctx context.Context, about Subject) (Stream, error)
}

// Subject is what a stream of events is about.
type Subject struct {
	Task    tasks.Task
	Run     Run
	Message Message
	// Traceparent is the W3C header of every event of the task; may be empty.
	Traceparent string
	Redactor    *redact.Redactor
	// Valid reports whether the task is still ours, by our own clock; no line is
	// sent while it is not. Nil is always.
	Valid func() bool
}

// Stream is what one attempt says. Its Reporter may be used from several
// goroutines; the rest is settle's and in the order below.
type Stream interface {
	tasks.Reporter
	// Started publishes IN_PROGRESS and returns when the server has it. It may be
	// repeated at any time by anybody, and the event still stands once, where
	// repeatable is true; else only as long as the stream remembers its id.
	Started(ctx context.Context) (repeatable bool, err error)
	// Flush returns when every line written so far is out. It waits for as long
	// as the server is away, but not long for one that is there, and not past the
	// context. It returns the number of the last line. No line may follow it.
	Flush(ctx context.Context) (lastLine uint64, err error)
	// Compose makes the settlement of an outcome. It publishes nothing.
	Compose(outcome tasks.Outcome) Settlement
	// Retried notes that the attempt was handed back and why.
	Retried(ctx context.Context, failure *tasks.Failure, after time.Duration)
	// Close ends the stream's goroutines; lines not yet out are dropped.
	Close()
}

// Handler carries out a task: *tasks.Handler, or a double in tests.
type Handler interface {
	Handle(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error)
}
