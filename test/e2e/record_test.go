//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// record is a task's terminal record.
type record struct {
	Status    string   `json:"status"`
	Reason    string   `json:"reason"`
	Class     string   `json:"class"`
	Stage     string   `json:"stage"`
	Message   string   `json:"message"`
	Image     string   `json:"image"`
	Commit    string   `json:"commit"`
	Warnings  []string `json:"warnings"`
	Attempt   int      `json:"attempt"`
	Destroyed []string `json:"destroyed"`
}

// settled waits until a task has ended and everything is said about it: its
// run record is the last thing to go.
func (w *world) settled(s *sent, within time.Duration) record {
	w.t.Helper()
	var r record
	eventually(w.t, within, "task "+s.id+" is settled", func() bool {
		found, ok := w.record(s.id)
		r = found
		return ok && !w.isOpen(s.id)
	})
	return r
}

func (w *world) record(id string) (r record, ok bool) {
	stream, err := w.js.Stream(brief(w.t), w.stream("DISPATCH_EVENTS"))
	if err != nil {
		return r, false
	}
	msg, err := stream.GetLastMsgForSubject(brief(w.t), w.subject("dispatch.done."+id))
	if err != nil {
		return r, false
	}
	return r, json.Unmarshal(msg.Data, &r) == nil
}

// isOpen reports whether a task has a run record, also where we cannot tell.
func (w *world) isOpen(id string) bool {
	stream, err := w.js.Stream(brief(w.t), "KV_"+w.stream("dispatch_run"))
	if err != nil {
		return true
	}
	_, err = stream.GetLastMsgForSubject(brief(w.t), "$KV."+w.stream("dispatch_run")+"."+id)
	return !errors.Is(err, jetstream.ErrMsgNotFound)
}

// succeeded waits for a task's success.
func (w *world) succeeded(s *sent, within time.Duration) record {
	w.t.Helper()
	r := w.settled(s, within)
	if r.Status != "succeeded" {
		w.t.Fatalf("task %s %s in %s (%s): %s\n%s", s.id, r.Status, r.Stage, r.Reason, r.Message, w.logText(s))
	}
	return r
}

// failed waits for a task's failure and checks its reason and stage, in the
// record and in the event's headers.
func (w *world) failed(s *sent, within time.Duration, reason, stage string) record {
	w.t.Helper()
	r := w.settled(s, within)
	if r.Status != "failed" || r.Reason != reason || r.Stage != stage {
		w.t.Fatalf("task %s: %s in %q with reason %q: %s; want failed in %q with %q\n%s", s.id, r.Status, r.Stage, r.Reason, r.Message, stage, reason, w.logText(s))
	}
	w.wantFailureHeaders(s, r)
	w.wantSentence(r.Message)
	return r
}

func (w *world) wantFailureHeaders(s *sent, r record) {
	w.t.Helper()
	if s.destroy {
		return
	}
	for _, e := range w.said(s, "deployment.failed") {
		got := []string{e.header.Get("Dispatch-Reason"), e.header.Get("Dispatch-Step"), e.header.Get("Dispatch-Error-Class"), e.header.Get("Dispatch-Error")}
		if want := []string{r.Reason, r.Stage, r.Class, r.Message}; !slices.Equal(got, want) {
			w.t.Errorf("headers of deployment.failed: %q, want %q", got, want)
		}
	}
}

// wantSentence refuses what no customer should read.
func (w *world) wantSentence(message string) {
	w.t.Helper()
	bare := strings.TrimSpace(message)
	if bare == "" || strings.HasPrefix(bare, "exit status") || strings.ContainsAny(message, "\n\r") || len(message) > 1024 {
		w.t.Errorf("the failure says %q, want one plain sentence", message)
	}
}
