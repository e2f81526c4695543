package desk

import (
	"context"
	"encoding/json"
	"fmt"
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
	view := TaskView{At: d.now(), TaskID: q.ID}
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
	v.Why = Why{State: StateEnded, Text: endedText(*settlement)}
	v.Since = at
	return nil
}

func endedText(s worker.Settlement) string {
	if s.Succeeded() {
		return "has ended: succeeded"
	}
	return fmt.Sprintf("has ended: failed (%s)", s.Reason)
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
	bucket := d.topology.Runs()
	m, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, v.TaskID))
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
	v.Started = &first
	v.Run = &RunView{
		Worker: name, WorkerLives: alive, Attempts: run.Attempts, Claims: run.Claims, HandedBack: run.HandedBack,
		Lost: max(run.Lost(), 0), Announced: run.Announced, LogLines: run.LogSequence, Reached: reachedResult(run.Reached),
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

// addPlace says where a task is that has not ended.
func (d *Desk) addPlace(ctx context.Context, v *TaskView) error {
	switch {
	case v.State != "":
		return nil
	case v.subject != "":
		return d.addQueuePlace(ctx, v)
	case v.Run != nil:
		return d.addOutsidePlace(ctx, v)
	case len(v.Letters) > 0:
		last := v.Letters[len(v.Letters)-1]
		v.Why = Why{State: StateDeadLetter, Reason: last.Reason, Message: last.Message, Text: "is a dead letter: " + string(last.Reason)}
		v.Since = &last.Stored
		return nil
	}
	v.Why = Why{State: StateUnknown, Text: "nothing is known of it: it is not queued, does not run, and has not ended within the last 90 days"}
	if v.Cancel != nil {
		v.Text += "; a request to cancel it counts when it comes"
	}
	return nil
}

// addQueuePlace says where in the queue a task is.
func (d *Desk) addQueuePlace(ctx context.Context, v *TaskView) error {
	s, err := d.lookAt(ctx, v)
	if err != nil {
		return err
	}
	first, err := d.leader.next(ctx, d.topology.Tasks(), d.filterOf(v.Job), 1)
	if err != nil {
		return err
	}
	own, err := d.leader.last(ctx, d.topology.Tasks(), v.subject)
	if err != nil {
		return err
	}
	if first == nil || own == nil {
		v.Why = Why{State: StateEnding, Text: "it moves just now: ask again"}
		return nil
	}
	_, firstID := placeOf(d.topology, first.Subject)
	v.Why, err = d.why(ctx, s, place{line: s.at(v.Job), first: firstID, id: v.TaskID, sequence: own.Sequence})
	v.Since = v.Queued
	if holder := s.at(v.Job).holder; holder != nil && holder.TaskID == v.TaskID && v.Started != nil {
		v.Since = v.Started
	}
	return err
}

// lookAt is a snapshot of one job: nothing is listed but workers and leases.
func (d *Desk) lookAt(ctx context.Context, v *TaskView) (*snapshot, error) {
	s := &snapshot{jobs: map[string]*line{}, runs: map[string]bool{v.TaskID: v.Run != nil}}
	var err error
	if s.delivered, err = d.leader.delivered(ctx, d.topology.Tasks(), d.topology.Consumer()); err != nil {
		return nil, err
	}
	if s.hands, err = d.hands(ctx); absent(err) != nil {
		return nil, err
	}
	s.sort(d.topology)
	first, err := d.leader.next(ctx, d.topology.Tasks(), d.filterOf(v.Job), 1)
	if err != nil || first == nil {
		return s, err
	}
	if _, id := placeOf(d.topology, first.Subject); id != "" && id != v.TaskID {
		run, err := d.leader.last(ctx, queue.BucketStream(d.topology.Runs()), queue.KeySubject(d.topology.Runs(), id))
		if absent(err) != nil {
			return nil, err
		}
		s.runs[id] = run != nil
	}
	return s, nil
}

// hasWorker returns the worker of a run and whether it lives. A run-once that was
// started again has another name than the one that claimed the run.
func (d *Desk) hasWorker(ctx context.Context, id string, run queue.OpenRun) (name string, lives bool, err error) {
	bucket := d.topology.Leases()
	once, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, queue.OnceKey(id)))
	if absent(err) != nil {
		return "", false, err
	}
	if once != nil {
		var info queue.WorkerInfo
		if err := json.Unmarshal(once.Data, &info); err != nil {
			return "", false, fmt.Errorf("read the sign of life of the run-once of %s: %w", id, err)
		}
		return info.ID, true, nil
	}
	alive, err := d.leader.last(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, queue.WorkerKey(run.Worker)))
	return run.Worker, alive != nil, absent(err)
}

// addOutsidePlace says where a task is that has a run and no message.
func (d *Desk) addOutsidePlace(ctx context.Context, v *TaskView) error {
	h, err := d.hands(ctx)
	if absent(err) != nil {
		return err
	}
	v.Since = v.Started
	for _, g := range h.grants {
		if g.TaskID == v.TaskID {
			v.Why, err = d.running(ctx, &snapshot{hands: h}, g)
			return err
		}
	}
	v.Why = Why{State: StateRetry, Cause: CauseWorkerLost, Worker: v.Run.Worker}
	v.Text = fmt.Sprintf("worker %s has died, and no message brings the task back: the sweeper of a living worker ends it within minutes", v.Run.Worker)
	if v.Run.WorkerLives {
		v.Cause, v.Text = CauseHandedBack, fmt.Sprintf("is with worker %s, between two attempts", v.Run.Worker)
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
