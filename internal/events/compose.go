package events

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Headers of our events. They are additive: legacy readers look at bodies alone.
const (
	HeaderTaskID      = "Dispatch-Task-Id"
	HeaderAttempt     = "Dispatch-Attempt"
	HeaderStep        = "Dispatch-Step"
	HeaderClass       = "Dispatch-Error-Class"
	HeaderReason      = "Dispatch-Reason"
	HeaderError       = "Dispatch-Error"
	HeaderImage       = "Dispatch-Image"
	HeaderWarning     = "Dispatch-Warning"
	HeaderTraceparent = "traceparent"
)

// maxHeader is the most that a free text takes in a header, in bytes.
const maxHeader = 1024

// Compose makes the settlement of an outcome: the record and every message
// that it calls for, exactly as they will go out.
func (s *Stream) Compose(outcome tasks.Outcome) worker.Settlement {
	settlement := s.record(outcome)
	header := s.header(settlement)
	switch {
	case s.about.Task.Destroy != nil:
		settlement.Events = s.destroyedEvents(outcome.Result, header)
	case s.about.Task.Deploy != nil:
		kind, end := kindSucceeded, "success"
		if !settlement.Succeeded() {
			kind, end = kindFailed, "failed"
		}
		settlement.Events = []worker.Event{s.event(kind, "", outcomeBody(s.about.Task), header)}
		settlement.LogEnd = s.logEnd(end, header)
	}
	return settlement
}

// record fills the settlement but for its messages.
func (s *Stream) record(outcome tasks.Outcome) worker.Settlement {
	settlement := worker.Settlement{
		TaskID: s.about.Task.ID, Kind: s.about.Task.Kind, Queue: s.about.Message.Subject, Status: worker.StatusSucceeded, Header: s.commonHeader(),
		Attempt: s.about.Run.Attempts, Commit: outcome.Result.Commit,
	}
	if outcome.Result.Image.Name != "" {
		settlement.Image = outcome.Result.Image.Reference()
	}
	for _, warning := range outcome.Result.Warnings {
		settlement.Warnings = append(settlement.Warnings, s.oneLine(warning))
	}
	for _, job := range outcome.Result.Destroyed {
		settlement.Destroyed = append(settlement.Destroyed, job.JobID)
	}
	for _, left := range outcome.Result.Undestroyed {
		settlement.Undestroyed = append(settlement.Undestroyed, left.Job.JobID)
	}
	if failure := outcome.Failure; failure != nil {
		row := failure.Row()
		settlement.Status, settlement.Reason, settlement.Class = worker.StatusFailed, row.Reason, row.Class
		settlement.Fault, settlement.Stage, settlement.Message = row.Fault, failure.Stage, s.oneLine(failure.Message)
	}
	return settlement
}

// header is what each of the settlement's messages carries.
func (s *Stream) header(settlement worker.Settlement) map[string]string {
	header := s.commonHeader()
	if !settlement.Succeeded() {
		header[HeaderStep] = string(settlement.Stage)
		header[HeaderClass] = string(settlement.Class)
		header[HeaderReason] = string(settlement.Reason)
		header[HeaderError] = settlement.Message
	}
	if settlement.Image != "" {
		header[HeaderImage] = settlement.Image
	}
	if len(settlement.Warnings) > 0 {
		header[HeaderWarning] = s.oneLine(strings.Join(settlement.Warnings, "; "))
	}
	return header
}

func (s *Stream) commonHeader() map[string]string {
	header := map[string]string{
		HeaderTaskID:  s.about.Task.ID,
		HeaderAttempt: strconv.Itoa(s.about.Run.Attempts),
	}
	if trace := s.about.Traceparent; trace != "" {
		header[HeaderTraceparent] = trace
	}
	return header
}

// event makes one legacy message; its key is `<id>.<kind>`, with the job where
// one task has several of a kind.
func (s *Stream) event(kind, job string, body []byte, header map[string]string) worker.Event {
	key := s.about.Task.ID + "." + kind
	if job != "" {
		key += "." + tasks.TargetToken(job)
	}
	return worker.Event{
		Key: key, Subject: s.publisher.options.Subjects.legacy(kind), Body: body, Header: header, Since: s.about.Run.Since[kind],
	}
}

func (s *Stream) destroyedEvents(result tasks.Result, header map[string]string) []worker.Event {
	var events []worker.Event
	for _, job := range result.Destroyed {
		body := newObject().text("id", job.ServiceID).text("reason", s.about.Task.Destroy.Reason).bytes()
		events = append(events, s.event(kindDestroyed, job.JobID, body, header))
	}
	return events
}

func (s *Stream) logEnd(status string, header map[string]string) *worker.Event {
	d := s.about.Task.Deploy
	body := newObject().text("deploymentId", d.DeploymentID).number("jobId", int64(d.DeploymentJobID)).text("status", status).bytes()
	return &worker.Event{
		Key:     s.about.Task.ID + ".build.log.end",
		Subject: s.publisher.options.Subjects.BuildLogEnd(d.DeploymentID),
		Body:    body,
		Header:  header,
	}
}

// changedBody is the body of deployment.status.changed.
func changedBody(t tasks.Task) []byte {
	return newObject().number("jobId", int64(t.Deploy.DeploymentJobID)).text("status", "IN_PROGRESS").bytes()
}

// outcomeBody is the body of deployment.succeeded and deployment.failed.
func outcomeBody(t tasks.Task) []byte {
	d := t.Deploy
	source := "image"
	if t.Kind.FromRepository() {
		source = "git_repo"
	}
	return newObject().
		number("jobId", int64(d.DeploymentJobID)).
		text("type", source).
		text("deploymentId", d.DeploymentID).
		text("serviceId", d.ServiceID).
		passedOn("teamId", d.TeamID).
		passedOn("userId", d.UserID).
		passedOn("ownerId", d.OwnerID).
		bytes()
}

// colour is what redact.CleanLine leaves of a terminal's sequences.
var colour = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// oneLine makes a text fit for a header and a terminal: one line, redacted,
// 1 KiB at most. It is cleaned first, which can join the halves of a secret.
func (s *Stream) oneLine(text string) string {
	text = strings.NewReplacer("\r", " ", "\n", " ").Replace(text)
	text = colour.ReplaceAllString(redact.CleanLine(text), "")
	text = strings.Join(strings.Fields(s.about.Redactor.String(text)), " ")
	if len(text) <= maxHeader {
		return text
	}
	cut := maxHeader - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
