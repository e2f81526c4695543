package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The backend's subjects.
const (
	subjectChanged   = "deployment.status.changed"
	subjectSucceeded = "deployment.succeeded"
	subjectFailed    = "deployment.failed"
	subjectDestroyed = "job.destroyed"
)

// result is what one step has shown.
type result struct {
	column string
	record record
	events []event
	// lines counts the build log, logEnd is the status with which it ended.
	lines      int
	logEnd     string
	allocation string
	answer     string
	stages     []stage
	// took is from the publish of the task to its outcome.
	took time.Duration
}

// record is a task's terminal record.
type record struct {
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Stage   string `json:"stage"`
	Message string `json:"message"`
	Image   string `json:"image"`
	Commit  string `json:"commit"`
}

// event is one legacy event; a failure has a reason and a sentence.
type event struct{ subject, reason, sentence string }

// stage is a stage of a task and how long it took.
type stage struct {
	name string
	took time.Duration
}

// event says what is in the stream on a subject.
func (r result) event(subject string) string {
	n := 0
	for _, e := range r.events {
		if e.subject == subject {
			n++
		}
	}
	switch {
	case n == 0:
		return ""
	case n == 1 && subject == subjectChanged:
		return "IN_PROGRESS"
	}
	return fmt.Sprint(n)
}

// digest is the part of an image's reference that names its content.
func (r result) digest() string {
	_, digest, _ := strings.Cut(r.record.Image, "@")
	return digest
}

func (r result) shortDigest() string {
	return short(strings.TrimPrefix(r.digest(), "sha256:"), 12)
}

func (r result) stageTime(name string) string {
	for _, s := range r.stages {
		if s.name == name {
			return seconds(s.took)
		}
	}
	return ""
}

// told reports whether everything is said about the task.
func (r result) told() bool {
	destroyed := r.event(subjectDestroyed) != ""
	ended := r.event(subjectSucceeded) != "" || r.event(subjectFailed) != ""
	return destroyed || ended && r.logEnd != ""
}

// check compares the outcome and the events with those that must be there:
// a deployment begins once and ends once, a destroy only says what is gone.
func (r result) check(status string) error {
	if r.record.Status != status {
		return fmt.Errorf("the task %s in %s (%s): %s; want it %s", r.record.Status, r.record.Stage, r.record.Reason, r.record.Message, status)
	}
	want := []string{subjectChanged, "deployment." + status}
	if r.event(subjectDestroyed) != "" {
		want = []string{subjectDestroyed}
	}
	var got []string
	for _, e := range r.events {
		got = append(got, e.subject)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the backend's stream has %v about the task, want %v", got, want)
	}
	return nil
}
