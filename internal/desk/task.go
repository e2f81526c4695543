package desk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// TaskView is everything that is known of one task.
type TaskView struct {
	At     time.Time `json:"at"`
	TaskID string    `json:"task_id"`
	// Task is its kind, Job the job that it is about (as in the subject).
	Task string `json:"task,omitempty"`
	Job  string `json:"job,omitempty"`
	Why
	// Since is when the task came into its state, as far as that is known.
	Since *time.Time `json:"since,omitempty"`
	// Queued is when the queue stored it, Started the first claim of its run.
	Queued  *time.Time `json:"queued,omitempty"`
	Started *time.Time `json:"started,omitempty"`
	// Run is the open run; nil before the first claim and after the end.
	Run *RunView `json:"run,omitempty"`
	// Cancel is who asked for the task's end; nil where nobody has.
	Cancel *CancelView `json:"cancel,omitempty"`
	// Failure is the last failure of an attempt of a task that has not ended.
	Failure *FailureView `json:"failure,omitempty"`
	Outcome *OutcomeView `json:"outcome,omitempty"`
	// Letters are the dead letters of the id, the oldest first.
	Letters []LetterRef `json:"dead_letters,omitempty"`
	// RequeuedFrom and RequeuedAs link a request with the dead letter's task.
	RequeuedFrom string `json:"requeued_from,omitempty"`
	RequeuedAs   string `json:"requeued_as,omitempty"`
	TraceID      string `json:"trace_id,omitempty"`
	// Events are the newest run events, the oldest of them first.
	Events []events.RunEvent `json:"events,omitempty"`
	// Log are the last lines of the build log.
	Log []LogLine `json:"log,omitempty"`

	deploymentID string
	subject      string
	// touched is when the run's record was written last.
	touched *time.Time
	// uncovered names the subjects of a kind of task that no stream covers.
	uncovered func(tasks.Kind) string
}

// Known reports whether anything at all stands under the id.
func (v TaskView) Known() bool { return v.State != StateUnknown }

// RunView is an open run.
type RunView struct {
	Worker string `json:"worker"`
	// WorkerLives is whether that worker gives signs of life.
	WorkerLives bool `json:"worker_lives"`
	Attempts    int  `json:"attempts"`
	Claims      int  `json:"claims"`
	HandedBack  int  `json:"handed_back"`
	// Lost counts the attempts whose worker died.
	Lost      int           `json:"lost"`
	Announced bool          `json:"announced"`
	LogLines  uint64        `json:"log_lines"`
	Reached   ReachedResult `json:"reached"`
}

// ReachedResult is what the attempts so far have done that is not done again.
type ReachedResult struct {
	Builder string `json:"builder,omitempty"`
	Commit  string `json:"commit,omitempty"`
	Image   string `json:"image,omitempty"`
	// NomadJob and JobVersion are of the registered job.
	NomadJob   string  `json:"nomad_job,omitempty"`
	JobVersion *uint64 `json:"job_version,omitempty"`
}

// CancelView is a request to end a task.
type CancelView struct {
	Asked time.Time `json:"asked"`
	Why   string    `json:"why,omitempty"`
}

// FailureView is why an attempt failed.
type FailureView struct {
	At      time.Time    `json:"at"`
	Attempt int          `json:"attempt,omitempty"`
	Stage   tasks.Stage  `json:"stage,omitempty"`
	Reason  tasks.Reason `json:"reason,omitempty"`
	Message string       `json:"message,omitempty"`
}

// OutcomeView is how a task ended.
type OutcomeView struct {
	// At is when the terminal record was written; absent where it is not yet.
	At          *time.Time   `json:"at,omitempty"`
	Status      string       `json:"status"`
	Attempt     int          `json:"attempt,omitempty"`
	Stage       tasks.Stage  `json:"stage,omitempty"`
	Reason      tasks.Reason `json:"reason,omitempty"`
	Class       tasks.Class  `json:"class,omitempty"`
	Fault       tasks.Fault  `json:"fault,omitempty"`
	Message     string       `json:"message,omitempty"`
	Image       string       `json:"image,omitempty"`
	Commit      string       `json:"commit,omitempty"`
	Warnings    []string     `json:"warnings,omitempty"`
	Destroyed   []string     `json:"destroyed,omitempty"`
	Undestroyed []string     `json:"undestroyed,omitempty"`
}

// LetterRef names a dead letter.
type LetterRef struct {
	Address string       `json:"address"`
	Stored  time.Time    `json:"stored"`
	Reason  tasks.Reason `json:"reason,omitempty"`
	Message string       `json:"message,omitempty"`
}

func outcomeView(s worker.Settlement, at *time.Time) *OutcomeView {
	return &OutcomeView{
		At: at, Status: s.Status, Attempt: s.Attempt, Stage: s.Stage, Reason: s.Reason, Class: s.Class, Fault: s.Fault,
		Message: s.Message, Image: s.Image, Commit: s.Commit, Warnings: s.Warnings, Destroyed: s.Destroyed, Undestroyed: s.Undestroyed,
	}
}

func reachedResult(c tasks.Checkpoint) ReachedResult {
	r := ReachedResult{Builder: c.Builder, Commit: c.Commit}
	if c.Image != nil {
		r.Image = c.Image.Reference()
	}
	if c.Registration != nil {
		r.NomadJob, r.JobVersion = c.Registration.JobID, &c.Registration.JobVersion
	}
	return r
}

// ended returns the terminal record and when it was written; nil where there is none.
func (d *Desk) ended(ctx context.Context, id string) (*worker.Settlement, *time.Time, error) {
	m, err := d.leader.last(ctx, d.topology.Events(), d.subjects.Done(id))
	if m == nil || err != nil {
		return nil, nil, err
	}
	var settlement worker.Settlement
	if err := json.Unmarshal(m.Data, &settlement); err != nil {
		return nil, nil, err
	}
	return &settlement, &m.Time, nil
}
