//go:build e2e

package e2e_test

import (
	"errors"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
)

// close counts what was said about each task, once the workers have ended.
func (w *world) close() {
	if w.t.Failed() || w.abandoned {
		return
	}
	for _, s := range w.sent {
		w.count(s)
	}
	w.wantNothingLeft()
}

// count checks that a task has exactly one of each end.
func (w *world) count(s *sent) {
	w.t.Helper()
	if records := len(w.records(s)); records != 1 && !s.unrecorded {
		w.t.Errorf("task %s has %d terminal records, want 1", s.id, records)
	}
	if s.destroy {
		return
	}
	started, ended, ends := 0, 0, 0
	for _, m := range w.said(s) {
		if m.subject == "deployment.status.changed" {
			started++
		} else {
			ended++
		}
	}
	_, logEnds := w.log(s)
	ends = len(logEnds)
	if want := map[bool]int{true: 0, false: 1}[s.refused]; started != want || ended != 1 || ends != 1 {
		w.t.Errorf("task %s: IN_PROGRESS %d times, %d outcomes, %d ends of its log; want %d, 1 and 1", s.id, started, ended, ends, want)
	}
}

func (w *world) records(s *sent) []message {
	w.t.Helper()
	if s.unrecorded {
		return nil
	}
	return w.all(w.stream("DISPATCH_EVENTS"), w.subject("dispatch.done."+s.id))
}

// wantNothingLeft looks for files of tasks, open runs and queued messages.
func (w *world) wantNothingLeft() {
	w.t.Helper()
	left, err := filepath.Glob(filepath.Join(w.workDir, "*"))
	if err != nil || len(left) > 0 {
		w.t.Errorf("left in the work directory: %v %v", left, err)
	}
	for _, name := range []string{w.stream("DISPATCH_TASKS"), "KV_" + w.stream("dispatch_run")} {
		stream, err := w.js.Stream(brief(w.t), name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if state := stream.CachedInfo().State; state.Msgs > 0 {
			w.t.Errorf("%d messages are left in %s", state.Msgs, name)
		}
	}
}
