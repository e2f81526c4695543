//go:build e2e

// Package bench_test measures what dispatchd promises about speed and size.
// Each number stands beside the same work done by hand, measured in turns in
// the same run: a machine that is slow today is slow for both. Nothing fails
// because of a number; a table at the end says which goals are met.
//
// The NATS server is a process of its own, so that a profile of the benchmark
// shows our side alone.
package bench_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if store := os.Getenv(serveEnv); store != "" {
		return serve(store)
	}
	code := m.Run()
	results.print()
	return code
}

// table is what the run ends with.
type table struct{ rows []row }

type row struct{ what, measured, goal string }

var results table

// note adds a line without a goal.
func (t *table) note(what, format string, args ...any) {
	t.rows = append(t.rows, row{what: what, measured: fmt.Sprintf(format, args...)})
}

// judge adds a line with a goal.
func (t *table) judge(what, measured, goal string, met bool) {
	verdict := "missed"
	if met {
		verdict = "met"
	}
	t.rows = append(t.rows, row{what, measured, "goal " + goal + " " + verdict})
}

func (t *table) print() {
	if len(t.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w)
	for _, r := range t.rows {
		_, _ = fmt.Fprintln(w, strings.TrimRight(r.what+"\t"+r.measured+"\t"+r.goal, "\t"))
	}
	_ = w.Flush()
}

// median returns the middle of some numbers; of an even count the lower one.
func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

// ms shows a duration in milliseconds.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
