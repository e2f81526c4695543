package check

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// sign is something that was seen of a task: an event, a side effect, a line.
type sign struct {
	at     time.Time
	worker string
	// over is true where the task had ended, or was handed back, with it.
	over bool
}

func (r *Report) saw(id string, s sign) { r.signs[id] = append(r.signs[id], s) }

var lineOf = regexp.MustCompile(`^line \d+ of (\S+)$`)

// workerIn returns the worker that wrote a line.
func workerIn(content string) string {
	if parts := lineOf.FindStringSubmatch(content); parts != nil {
		return parts[1]
	}
	return ""
}

// runEvents reads the signs of life that the workers themselves give.
func (r *Report) runEvents(ctx context.Context, js jetstream.JetStream) error {
	all, err := read(ctx, js, "DISPATCH_EVENTS", "dispatch.event.>")
	if err != nil {
		return err
	}
	for _, m := range all {
		var e struct {
			TaskID string `json:"task_id"`
			Event  string `json:"event"`
			Worker string `json:"worker"`
		}
		if err := json.Unmarshal(m.data, &e); err != nil {
			return err
		}
		// Neither says that the task is at work.
		if e.Event != "duplicate" && e.Event != "waiting" {
			r.saw(e.TaskID, sign{at: m.stored, worker: e.Worker, over: e.Event == "outcome" || e.Event == "retry"})
		}
	}
	for id := range r.signs {
		slices.SortStableFunc(r.signs[id], func(a, b sign) int { return a.at.Compare(b.at) })
	}
	return nil
}

// Recovery is how long tasks stood still after the faults of one kind.
type Recovery struct {
	Kind string
	// Faults counts the faults, Tasks the tasks that they met.
	Faults, Tasks int
	P50, P99, Max time.Duration
	took          []time.Duration
}

// All is the kind of the row over all faults but Once: a run-once that was killed
// is not redelivered but found by the sweeper, once its lease has ended and some
// time has passed. Alone is that of workers that were killed while nothing else
// happened.
const (
	All   = "all but kill-once"
	Once  = "kill-once"
	Alone = "kill, nothing else"
)

// Recoveries measures, for each fault and each task that its victim had, the
// time from the fault to the next sign of life of the task. A victim had a task
// where the last that was seen of it before the fault was the victim's, and not
// its end; a node that fails meets every task that runs. The next sign of life
// is another worker's, or the victim's own once it was let go. Time in which the
// whole cluster was away does not count.
func (r *Report) Recoveries(s Story) []Recovery {
	byKind := map[string]*Recovery{}
	row := func(kind string) *Recovery {
		if byKind[kind] == nil {
			byKind[kind] = &Recovery{Kind: kind}
		}
		return byKind[kind]
	}
	for _, f := range s.Faults {
		took := r.after(f, s.Faults)
		rows := []*Recovery{row(f.Kind)}
		if f.Kind != Once {
			rows = append(rows, row(All))
		}
		if f.Kind == "kill" && alone(f, s) {
			rows = append(rows, row(Alone))
		}
		for _, into := range rows {
			into.Faults++
			into.took = append(into.took, took...)
		}
	}
	var all []Recovery
	for _, into := range byKind {
		into.finish()
		all = append(all, *into)
	}
	slices.SortFunc(all, func(a, b Recovery) int { return compareKinds(a.Kind, b.Kind) })
	return all
}

func compareKinds(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == All:
		return 1
	case b == All, a < b:
		return -1
	default:
		return 1
	}
}

func (v *Recovery) finish() {
	slices.Sort(v.took)
	v.Tasks = len(v.took)
	if v.Tasks == 0 {
		return
	}
	v.P50, v.P99, v.Max = v.took[v.Tasks/2], v.took[(v.Tasks*99-1)/100], v.took[v.Tasks-1]
}

// after returns how long the tasks that the fault met stood still.
func (r *Report) after(f effect.Fault, all []effect.Fault) []time.Duration {
	var took []time.Duration
	for _, signs := range r.signs {
		next, _ := slices.BinarySearchFunc(signs, f.At, func(s sign, at time.Time) int {
			if s.at.After(at) {
				return 1
			}
			return -1
		})
		if next == 0 || !met(f, signs[next-1]) || wasGone(signs[next-1], f, all) {
			continue
		}
		for _, s := range signs[next:] {
			if comesFrom(f, s) {
				took = append(took, max(s.at.Sub(f.At)-away(f.At, s.at, all), 0))
				break
			}
		}
	}
	return took
}

// met reports whether the fault met a task of which this was seen last.
func met(f effect.Fault, last sign) bool {
	return !last.over && (isNode(f) || last.worker == f.Victim)
}

// wasGone reports whether the task's worker had been killed before the fault: what
// the task waits for then is that fault's.
func wasGone(last sign, f effect.Fault, all []effect.Fault) bool {
	for _, earlier := range all {
		if earlier.Gone() && earlier.Victim == last.worker && earlier.At.Before(f.At) {
			return true
		}
	}
	return false
}

func isNode(f effect.Fault) bool {
	return f.Kind == "node-kill" || f.Kind == "node-stall" || f.Kind == "disk-full" || f.Kind == "away"
}

// comesFrom reports whether a sign can be one of life after the fault: what a
// victim had on its way is none.
func comesFrom(f effect.Fault, s sign) bool {
	if isNode(f) || f.Kind == "cut" || s.worker != f.Victim {
		return true
	}
	return !f.Gone() && s.at.After(f.Until)
}

// away is how much of a time the whole cluster was away.
func away(from, until time.Time, all []effect.Fault) time.Duration {
	var sum time.Duration
	for _, f := range all {
		if f.Kind != "away" {
			continue
		}
		begin, end := f.At, f.Until
		if begin.Before(from) {
			begin = from
		}
		if end.After(until) {
			end = until
		}
		sum += max(end.Sub(begin), 0)
	}
	return sum
}

// alone reports whether nothing else happened within an ack wait of the fault.
func alone(f effect.Fault, s Story) bool {
	near := s.Run.AckWait
	if near == 0 {
		near = 30 * time.Second
	}
	for _, other := range s.Faults {
		if other == f || other.Kind == "kill-once" {
			continue
		}
		if other.At.Before(f.At.Add(near)) && other.Until.After(f.At.Add(-near)) {
			return false
		}
	}
	return true
}
