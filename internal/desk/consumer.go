package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// consumer is how the queue's consumer stands: without it, and while it is stopped,
// nothing is delivered, whatever slots are free.
type consumer struct {
	stream, name string
	// delivered is the highest sequence that was ever handed to a worker.
	delivered uint64
	missing   bool
	paused    bool
	// pausedFor is how long a pause lasts still.
	pausedFor time.Duration
	// filters are the subjects that are delivered; empty where all are.
	filters []string
}

// consumer reads how a consumer stands.
func (l leader) consumer(ctx context.Context, stream, name string) (consumer, error) {
	c := consumer{stream: stream, name: name}
	var response struct {
		refused
		Delivered struct {
			Sequence uint64 `json:"stream_seq"`
		} `json:"delivered"`
		Paused    bool          `json:"paused"`
		PausedFor time.Duration `json:"pause_remaining"`
		Config    struct {
			Filter  string   `json:"filter_subject"`
			Filters []string `json:"filter_subjects"`
		} `json:"config"`
	}
	err := l.ask(ctx, "CONSUMER.INFO."+stream+"."+name, nil, &response)
	if isCode(err, codeNoConsumer) {
		c.missing = true
		return c, nil
	}
	if err != nil {
		return c, explain(stream, err)
	}
	c.delivered, c.paused, c.pausedFor, c.filters = response.Delivered.Sequence, response.Paused, response.PausedFor, response.Config.Filters
	if response.Config.Filter != "" {
		c.filters = append(c.filters, response.Config.Filter)
	}
	return c, nil
}

// stops says why the consumer delivers a message to nobody, and what to do; both are
// empty where it does deliver it. No filter stops one whose subject is not known.
func (c consumer) stops(subject string) (Cause, string) {
	switch {
	case c.missing:
		return CauseNoConsumer, "the queue's consumer is not there: a worker that may make it does so within seconds; else start one with the rights of SETUP"
	case c.paused:
		return CausePaused, fmt.Sprintf("the consumer is paused for another %s: `nats consumer resume %s %s`", c.pausedFor.Round(time.Second), c.stream, c.name)
	case subject != "" && len(c.filters) > 0 && !slices.ContainsFunc(c.filters, func(filter string) bool { return passes(filter, subject) }):
		return CauseFiltered, fmt.Sprintf("the consumer has a filter, so some tasks are never delivered: delete it (`nats consumer rm %s %s`), and a worker makes it anew", c.stream, c.name)
	default:
		return "", ""
	}
}

// passes reports whether a filter lets a subject through.
func passes(filter, subject string) bool {
	wanted, tokens := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range wanted {
		switch {
		case i >= len(tokens):
			return false
		case token == ">":
			return true
		case token != "*" && token != tokens[i]:
			return false
		}
	}
	return len(wanted) == len(tokens)
}

// warnings says what an operator should look at.
func (s *snapshot) warnings() []string {
	found := s.hands.warnings()
	if _, text := s.consumer.stops(">"); text != "" {
		found = append(found, text)
	}
	return found
}
