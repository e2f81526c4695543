package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// Story is what the driver of a long run wrote down.
type Story struct {
	Run      effect.Run
	Faults   []effect.Fault
	Accepted []effect.Accepted
	// again are the ids that were published once more; true with another body.
	again map[string]bool
}

// ReadStory reads a long run's streams: what was accepted, and what came of it.
func ReadStory(ctx context.Context, js jetstream.JetStream) (Story, Report, error) {
	story, err := told(ctx, js)
	if err != nil {
		return story, Report{}, err
	}
	r, err := Read(ctx, js)
	if err != nil {
		return story, r, err
	}
	letters, err := r.letters(ctx, js)
	if err != nil {
		return story, r, err
	}
	for _, a := range story.Accepted {
		r.accepted(a, story.again, letters)
	}
	r.order(story)
	return story, r, r.runEvents(ctx, js)
}

func told(ctx context.Context, js jetstream.JetStream) (Story, error) {
	s := Story{again: map[string]bool{}}
	all, err := read(ctx, js, effect.Story, ">")
	if err != nil {
		return s, err
	}
	for _, m := range all {
		switch m.subject {
		case effect.RunSubject:
			err = json.Unmarshal(m.data, &s.Run)
		case effect.FaultSubject:
			err = appended(&s.Faults, m.data)
		case effect.AcceptedSubject:
			err = appended(&s.Accepted, m.data)
		case effect.AgainSubject:
			var a effect.Again
			err = json.Unmarshal(m.data, &a)
			s.again[a.TaskID] = s.again[a.TaskID] || a.Other
		}
		if err != nil {
			return s, fmt.Errorf("read %s: %w", m.subject, err)
		}
	}
	// What the driver told twice, because an answer was lost, counts once.
	seen := map[string]bool{}
	s.Accepted = slices.DeleteFunc(s.Accepted, func(a effect.Accepted) bool {
		twice := seen[a.TaskID]
		seen[a.TaskID] = true
		return twice
	})
	return s, nil
}

func appended[T any](to *[]T, data []byte) error {
	var one T
	err := json.Unmarshal(data, &one)
	*to = append(*to, one)
	return err
}

// letters counts the dead letters of each id.
func (r *Report) letters(ctx context.Context, js jetstream.JetStream) (map[string]int, error) {
	all, err := read(ctx, js, "DISPATCH_DLQ", ">")
	if err != nil {
		return nil, err
	}
	letters := map[string]int{}
	for _, m := range all {
		letters[m.subject[strings.LastIndexByte(m.subject, '.')+1:]]++
	}
	return letters, nil
}

// accepted looks whether an accepted task came to what it may come to.
func (r *Report) accepted(a effect.Accepted, again map[string]bool, letters map[string]int) {
	end, ended := r.ends[a.TaskID]
	if a.Want == effect.Letter {
		if letters[a.TaskID] == 0 {
			r.lost("message %s is nowhere: no dead letter, no end", a.TaskID)
		}
		return
	}
	if !ended {
		r.lost("task %s was accepted and has no terminal record", a.TaskID)
		return
	}
	if a.Want == effect.Invalid && letters[a.TaskID] == 0 {
		r.lost("task %s is not valid and no dead letter", a.TaskID)
	}
	if !fits(a, end) && !again[a.TaskID] {
		r.contradicted("task %s should be %s and ended as %s %s", a.TaskID, a.Want, end.Status, end.Reason)
	}
}

// fits reports whether a task may end like this. Any may lose its workers.
func fits(a effect.Accepted, end terminal) bool {
	switch end.Reason {
	case "cancelled":
		return a.Cancelled
	case "superseded":
		return a.Superseded
	case "worker_lost":
		return true
	}
	switch a.Want {
	case effect.Fail:
		return end.Reason == "unhealthy"
	case effect.Panic:
		return end.Reason == "internal"
	case effect.Invalid:
		return end.Reason == "invalid_task"
	default:
		return end.Status == "succeeded"
	}
}

// order looks whether the tasks of each job began in the order in which they
// were accepted, and whether the newest was left alone.
func (r *Report) order(s Story) {
	sequence := map[string]uint64{}
	newest := map[string]effect.Accepted{}
	for _, a := range s.Accepted {
		sequence[a.TaskID] = a.Sequence
		if a.Want != effect.Letter && a.Want != effect.Invalid && a.Sequence > newest[a.Job].Sequence {
			newest[a.Job] = a
		}
	}
	for _, job := range slices.Sorted(maps.Keys(r.effectsOf)) {
		var last string
		for _, e := range r.effectsOf[job] {
			if now, before := sequence[e.TaskID], sequence[last]; now > 0 && now < before && !s.again[e.TaskID] {
				r.disordered("job %s: task %s of place %d makes an effect after task %s of place %d", job, e.TaskID, now, last, before)
			}
			if sequence[e.TaskID] > 0 {
				last = e.TaskID
			}
		}
	}
	for job, a := range newest {
		if r.ends[a.TaskID].Reason == "superseded" {
			r.contradicted("job %s: its newest task %s was superseded", job, a.TaskID)
		}
	}
}

// Reasons counts how the tasks ended.
func (r *Report) Reasons() map[string]int {
	counts := map[string]int{}
	for _, end := range r.ends {
		counts[strings.TrimSpace(end.Status+" "+end.Reason)]++
	}
	return counts
}
