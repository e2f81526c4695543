//go:build e2e

package e2e_test

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// message is one message of a stream.
type message struct {
	// subject is without the world's prefix.
	subject string
	body    string
	header  nats.Header
	at      time.Time
}

// all reads a stream from its beginning to its end.
func (w *world) all(stream string, subjects ...string) []message {
	w.t.Helper()
	ctx := brief(w.t)
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var found []message
	for range info.NumPending {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			w.t.Fatalf("read message %d of %s: %v", len(found)+1, stream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			w.t.Fatal(err)
		}
		subject := strings.TrimPrefix(msg.Subject(), w.subject(""))
		found = append(found, message{subject: subject, body: string(msg.Data()), header: msg.Headers(), at: meta.Timestamp})
	}
	return found
}

// said returns a task's legacy events in the order of the stream; kinds limits
// them to some subjects.
func (w *world) said(s *sent, kinds ...string) []message {
	w.t.Helper()
	var found []message
	for _, m := range w.all(w.events()) {
		if m.header.Get("Dispatch-Task-Id") == s.id && (len(kinds) == 0 || slices.Contains(kinds, m.subject)) {
			found = append(found, m)
		}
	}
	return found
}

// line is one line of a build log.
type line struct {
	DeploymentID string          `json:"deploymentId"`
	JobID        int             `json:"jobId"`
	ServiceID    string          `json:"serviceId"`
	OwnerID      json.RawMessage `json:"ownerId"`
	LogOutput    string          `json:"logOutput"`
	Content      string          `json:"content"`
	Timestamp    int64           `json:"timestamp"`
	Sequence     int             `json:"sequence"`
	Phase        string          `json:"phase"`
}

// log reads a deployment's lines and the ends of its log, and checks that the
// numbers have no holes and that nothing follows the end.
func (w *world) log(s *sent) (lines []line, ends []message) {
	w.t.Helper()
	about, end := w.subject("build.log."+s.deployment), w.subject("build.log.end."+s.deployment)
	for _, m := range w.all(w.logs(), about, end) {
		if strings.HasPrefix(m.subject, "build.log.end.") {
			ends = append(ends, m)
			continue
		}
		if len(ends) > 0 {
			w.t.Errorf("log of %s: a line follows its end: %s", s.deployment, m.body)
		}
		var l line
		if err := json.Unmarshal([]byte(m.body), &l); err != nil {
			w.t.Fatalf("log of %s: %v in %s", s.deployment, err, m.body)
		}
		lines = append(lines, l)
		if l.Sequence != len(lines) {
			w.t.Errorf("log of %s: line %d has the number %d", s.deployment, len(lines), l.Sequence)
		}
	}
	return lines, ends
}

// logText is the log as a person reads it.
func (w *world) logText(s *sent) string {
	w.t.Helper()
	if s.deployment == "" {
		return ""
	}
	var b strings.Builder
	lines, _ := w.log(s)
	for _, l := range lines {
		b.WriteString(l.Phase + ": " + l.Content + "\n")
	}
	return b.String()
}

// sees waits until a line of the running task's log holds a text.
func (w *world) sees(s *sent, text string, within time.Duration) {
	w.t.Helper()
	eventually(w.t, within, "the log of "+s.deployment+" says "+text, func() bool {
		if r, ended := w.record(s.id); ended {
			w.t.Fatalf("task %s ended before its log said %q: %s %s\n%s", s.id, text, r.Status, r.Message, w.logText(s))
		}
		return strings.Contains(w.logText(s), text)
	})
}
