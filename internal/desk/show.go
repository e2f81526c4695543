package desk

import (
	"context"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// maxEvents is how many run events of a task are read.
const maxEvents = 500

// ShowQuery says which task to show and how much of it.
type ShowQuery struct {
	ID string
	// Lines is how many of the last log lines are read; with 0 the backend's
	// stream of logs is not asked at all.
	Lines int
	// Events is how many of the last run events are shown.
	Events int
}

// Show gathers what is known of a task. One that nothing is known of has the
// state unknown, and no error.
func (d *Desk) Show(ctx context.Context, q ShowQuery) (TaskView, error) {
	return d.show(ctx, q, d.uncovered(ctx))
}

// show gathers it; uncovered is asked where nothing could be told of the task.
func (d *Desk) show(ctx context.Context, q ShowQuery, uncovered func(tasks.Kind) string) (TaskView, error) {
	view := TaskView{At: d.now(), TaskID: q.ID, uncovered: uncovered}
	if err := checkID(q.ID); err != nil {
		return view, err
	}
	// A worker writes the terminal record before it acknowledges the message and
	// deletes the run: read after them, it is there where they are not.
	steps := []func(context.Context, *TaskView) error{d.addRun, d.addQueued, d.addOutcome, d.addCancel, d.addLetters, d.addPlace}
	for _, step := range steps {
		if err := step(ctx, &view); err != nil {
			return view, err
		}
	}
	view.countLost()
	if view.Outcome == nil && (view.State == StateEnded || view.State == StateEnding) {
		// It has ended since its record was looked for.
		if err := d.addOutcome(ctx, &view); err != nil {
			return view, err
		}
	}
	if err := d.addEvents(ctx, &view, q.Events); err != nil {
		return view, err
	}
	if view.State == StateUnknown && len(view.Events) > 0 {
		view.Text = "it is not queued, does not run, and no end of it is known; these events are"
	}
	if q.Lines > 0 && view.deploymentID != "" {
		var err error
		view.Log, err = d.tail(ctx, d.subjects.BuildLog(view.deploymentID), q.Lines)
		return view, err
	}
	return view, nil
}

// addOutcome reads the terminal record.
func (d *Desk) addOutcome(ctx context.Context, v *TaskView) error {
	settlement, at, err := d.ended(ctx, v.TaskID)
	if err != nil || settlement == nil {
		return err
	}
	v.Task, v.Outcome = string(settlement.Kind), outcomeView(*settlement, at)
	v.learn(*settlement)
	v.Since = at
	v.Why = Why{State: StateEnded, Text: endedText(*settlement)}
	if v.Run != nil {
		v.Why = whyNotTold(*settlement, teller{v.Run.Worker, v.Run.WorkerLives}, v.At.Sub(*at), v.uncovered)
	}
	return nil
}

// learn takes from a settlement what it says beside the outcome.
func (v *TaskView) learn(s worker.Settlement) {
	if trace := traceID(s.Header[events.HeaderTraceparent]); trace != "" {
		v.TraceID = trace
	}
	if s.LogEnd != nil {
		v.deploymentID = s.LogEnd.Subject[strings.LastIndexByte(s.LogEnd.Subject, '.')+1:]
	}
}

// addRun reads the open run.
func (d *Desk) addRun(ctx context.Context, v *TaskView) error {
	m, err := d.runRecord(ctx, v.TaskID)
	if err != nil || m == nil {
		return absent(err)
	}
	run, err := queue.DecodeRun(m.Data)
	if err != nil {
		return err
	}
	name, alive, err := d.hasWorker(ctx, v.TaskID, run)
	if err != nil {
		return err
	}
	first := run.FirstClaim
	if first.IsZero() {
		first = m.Time
	}
	v.Started, v.touched = &first, &m.Time
	v.Run = &RunView{
		Worker: name, WorkerLives: alive, Attempts: run.Attempts, Claims: run.Claims, HandedBack: run.HandedBack,
		Lost: run.Lost(), Announced: run.Announced, LogLines: run.LogSequence, Reached: reachedResult(run.Reached),
	}
	if len(run.Targets) > 0 {
		v.Job = tasks.TargetToken(run.Targets[0])
	}
	v.subject = run.Queue
	if run.Will != nil {
		v.Task = string(run.Will.Kind)
		v.learn(*run.Will)
	}
	if run.Outcome != nil {
		v.Outcome = outcomeView(*run.Outcome, nil)
		v.Why = Why{State: StateEnding, Worker: run.Worker, Text: "its outcome is recorded and is being said by worker " + run.Worker}
		v.Since = &m.Time
	}
	return nil
}

// runRecord reads the record of an open run; nil where there is none.
func (d *Desk) runRecord(ctx context.Context, id string) (*message, error) {
	bucket := d.topology.Runs()
	return d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, id))
}

// countLost counts the attempts whose worker died. The record counts on the newest
// being under way: where nobody has the task, that one has been handed back, or is
// lost, too.
func (v *TaskView) countLost() {
	if v.Run == nil {
		return
	}
	if v.State == StateRetry || v.State == StateBlocked || v.State == StateRunnable {
		v.Run.Lost++
	}
	v.Run.Lost = max(v.Run.Lost, 0)
}

// addQueued reads the task's message in the queue.
func (d *Desk) addQueued(ctx context.Context, v *TaskView) error {
	found, err := d.leader.state(ctx, d.topology.Tasks(), d.topology.TaskSubject("*", "*", v.TaskID))
	if err != nil {
		return absent(err)
	}
	subjects := make([]string, 0, len(found.Subjects))
	for subject := range found.Subjects {
		subjects = append(subjects, subject)
	}
	if len(subjects) == 0 {
		v.subject = ""
		return nil
	}
	if !slices.Contains(subjects, v.subject) {
		v.subject = slices.Min(subjects)
	}
	m, err := d.leader.last(ctx, d.topology.Tasks(), v.subject)
	if err != nil || m == nil {
		v.subject = ""
		return err
	}
	v.Task, v.Job, _, _ = d.topology.TaskParts(m.Subject)
	v.Queued, v.RequeuedFrom = &m.Time, m.Header.Get(queue.HeaderRequeuedFrom)
	if trace := traceID(m.Header.Get(events.HeaderTraceparent)); trace != "" {
		v.TraceID = trace
	}
	if task, err := tasks.Decode(tasks.Message{Body: m.Data, DefaultID: v.TaskID}); err == nil && task.Deploy != nil {
		v.deploymentID = task.Deploy.DeploymentID
	}
	return nil
}

// addCancel reads whether somebody has asked for the task's end.
func (d *Desk) addCancel(ctx context.Context, v *TaskView) error {
	m, err := d.leader.last(ctx, d.topology.Events(), d.topology.CancelSubject(v.TaskID))
	if m != nil {
		v.Cancel = &CancelView{Asked: m.Time, Why: clip(oneLine(string(m.Data)), 200)}
	}
	return err
}

// addLetters reads the dead letters of the id.
func (d *Desk) addLetters(ctx context.Context, v *TaskView) error {
	letters, err := d.lettersOf(ctx, v.TaskID)
	if err != nil {
		return absent(err)
	}
	for _, letter := range letters {
		v.Letters = append(v.Letters, LetterRef{Address: letter.Address, Stored: letter.Stored, Reason: letter.Reason, Message: letter.Message})
		if v.Task == "" {
			v.Task, v.Job = letter.Task, letter.Job
		}
	}
	return nil
}

// addEvents reads the run events and what they tell beside.
func (d *Desk) addEvents(ctx context.Context, v *TaskView, shown int) error {
	from := uint64(1)
	for range maxEvents {
		m, err := d.leader.next(ctx, d.topology.Events(), d.subjects.Event(v.TaskID, "*"), from)
		if err != nil {
			return err
		}
		if m == nil {
			break
		}
		from = m.Sequence + 1
		event, err := readEvent(m)
		if err != nil {
			return err
		}
		v.heard(*event)
	}
	v.Events = v.Events[max(len(v.Events)-shown, 0):]
	return nil
}

// heard notes what one run event tells.
func (v *TaskView) heard(e storedEvent) {
	v.Events = append(v.Events, e.RunEvent)
	switch e.Event {
	case events.EventRetry:
		if v.State != StateEnded {
			v.Failure = &FailureView{At: e.stored, Attempt: e.Attempt, Stage: e.Stage, Reason: e.Reason, Message: e.Message}
		}
	case events.EventRequeued:
		if e.RequeuedFrom != "" {
			v.RequeuedFrom = e.RequeuedFrom
		}
		if e.RequeuedAs != "" {
			v.RequeuedAs = e.RequeuedAs
		}
	}
	if v.Task == "" {
		v.Task = string(e.Kind)
	}
}

// traceID returns the trace id of a W3C traceparent, or nothing.
func traceID(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 {
		return ""
	}
	return parts[1]
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
