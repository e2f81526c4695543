package desk

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The headers that a dead letter gets.
const (
	headerReason  = "Dispatch-Reason"
	headerError   = "Dispatch-Error"
	headerAttempt = "Dispatch-Attempt"
	headerSubject = "Dispatch-Subject"
)

// Letter is one dead letter, without its body and headers.
type Letter struct {
	// Address is ID@SEQ; ID alone is enough where there is one letter of it.
	Address  string `json:"address"`
	ID       string `json:"id"`
	Sequence uint64 `json:"sequence"`
	// Task and Job are what the original subject says; empty where it has not
	// the form of a task's.
	Task    string       `json:"task,omitempty"`
	Job     string       `json:"job,omitempty"`
	Reason  tasks.Reason `json:"reason"`
	Message string       `json:"message,omitempty"`
	Attempt int          `json:"attempt"`
	Stored  time.Time    `json:"stored"`
	Subject string       `json:"subject"`
	Bytes   int          `json:"bytes"`

	header nats.Header
	body   []byte
}

// Letters is what stands in the dead letters.
type Letters struct {
	At      time.Time `json:"at"`
	Total   int       `json:"total"`
	Letters []Letter  `json:"letters"`
}

// Letters lists the newest dead letters, limit at most, the newest first.
func (d *Desk) Letters(ctx context.Context, limit int) (Letters, error) {
	view := Letters{At: d.now(), Letters: []Letter{}}
	held, err := d.leader.state(ctx, d.topology.DeadLetters(), "")
	if err != nil {
		return view, err
	}
	view.Total = int(held.Messages)
	wanted := min(limit, view.Total)
	// Letters that were requeued or dropped leave holes.
	for seq := held.Last; seq >= max(held.First, 1) && len(view.Letters) < wanted; seq-- {
		m, err := d.leader.get(ctx, d.topology.DeadLetters(), getRequest{Sequence: seq})
		if err != nil {
			return view, err
		}
		if m != nil {
			view.Letters = append(view.Letters, d.letter(m))
		}
	}
	return view, nil
}

func (d *Desk) letter(m *message) Letter {
	id := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	l := Letter{
		ID: id, Sequence: m.Sequence, Address: id + "@" + strconv.FormatUint(m.Sequence, 10),
		Reason: tasks.Reason(m.Header.Get(headerReason)), Message: m.Header.Get(headerError),
		Stored: m.Time, Subject: m.Header.Get(headerSubject), Bytes: len(m.Data), header: m.Header, body: m.Data,
	}
	l.Attempt, _ = strconv.Atoi(m.Header.Get(headerAttempt))
	if kind, job, _, ok := d.topology.TaskParts(l.Subject); ok {
		l.Task, l.Job = kind, job
	}
	return l
}

// maxLetters is how many letters of one id are read.
const maxLetters = 200

// lettersOf reads the letters of an id, the oldest first.
func (d *Desk) lettersOf(ctx context.Context, id string) ([]Letter, error) {
	var all []Letter
	for from := uint64(1); len(all) < maxLetters; {
		m, err := d.leader.next(ctx, d.topology.DeadLetters(), d.topology.DeadLetterSubject(id), from)
		if err != nil || m == nil {
			return all, err
		}
		all = append(all, d.letter(m))
		from = m.Sequence + 1
	}
	return all, nil
}

// Letter finds the letter of an address: ID where there is one letter of it, or
// ID@SEQ.
func (d *Desk) Letter(ctx context.Context, address string) (Letter, error) {
	id, number, exact := strings.Cut(address, "@")
	if err := checkID(id); err != nil {
		return Letter{}, err
	}
	all, err := d.lettersOf(ctx, id)
	if err != nil {
		return Letter{}, err
	}
	if exact {
		return one(all, address, number)
	}
	switch len(all) {
	case 0:
		return Letter{}, fmt.Errorf("there is no dead letter of %s", id)
	case 1:
		return all[0], nil
	}
	names := make([]string, len(all))
	for i, letter := range all {
		names[i] = letter.Address
	}
	return Letter{}, fmt.Errorf("there are %d dead letters of %s: name one of %s", len(all), id, strings.Join(names, ", "))
}

func one(all []Letter, address, number string) (Letter, error) {
	sequence, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return Letter{}, fmt.Errorf("%q is no address of a dead letter: it is ID or ID@SEQ", address)
	}
	i := slices.IndexFunc(all, func(l Letter) bool { return l.Sequence == sequence })
	if i < 0 {
		return Letter{}, fmt.Errorf("there is no dead letter %s", address)
	}
	return all[i], nil
}

// Drop deletes a dead letter for good.
func (d *Desk) Drop(ctx context.Context, letter Letter) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := d.js.Stream(ctx, d.topology.DeadLetters())
	if err == nil {
		err = stream.DeleteMsg(ctx, letter.Sequence)
	}
	if err != nil {
		return fmt.Errorf("delete the dead letter %s: %w", letter.Address, err)
	}
	return nil
}
