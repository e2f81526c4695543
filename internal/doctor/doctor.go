package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// Limit is how long one check may take.
const Limit = 8 * time.Second

// Status says how bad a result is.
type Status string

// The three statuses. A failure keeps tasks from succeeding; a warning does not.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Result is one thing that was looked at: one line.
type Result struct {
	// Check is the dependency's name.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Tried is what was done, Found what came of it.
	Tried string `json:"tried"`
	Found string `json:"found,omitempty"`
	// Option is the setting or program that a problem is about, Fix what to do.
	Option string `json:"option,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// String is the result as one line.
func (r Result) String() string {
	line := fmt.Sprintf("%-4s  %-9s %s", r.Status, r.Check, r.Tried)
	if r.Found != "" {
		line += ": " + r.Found
	}
	if r.Fix != "" {
		line += "; " + r.Option + ": " + r.Fix
	}
	return line
}

func good(tried, found string, args ...any) Result {
	return Result{Status: OK, Tried: tried, Found: fmt.Sprintf(found, args...)}
}

// bad is a result of another status; to says what to do about it.
func bad(status Status, tried, found string, to remedy) Result {
	return Result{Status: status, Tried: tried, Found: found, Option: to.option, Fix: to.fix}
}

// remedy is a setting or a program, and what to do with it.
type remedy struct{ option, fix string }

// Check looks at one dependency.
type Check struct {
	Name string
	// Run asks until ctx ends. It returns at least one result.
	Run func(ctx context.Context) []Result
}

// Options say how the checks are run.
type Options struct {
	// Hide takes secrets out of every text; nil hides nothing.
	Hide func(string) string
	// Progress is told which checks have not ended yet, each time one ends. It is
	// called by one goroutine at a time; may be nil.
	Progress func(waiting []string)
	// Limit is how long one check may take; the constant Limit where 0.
	Limit time.Duration
}

// Run runs all checks at once and returns their results in the checks' order.
func Run(ctx context.Context, checks []Check, o Options) []Result {
	if o.Limit <= 0 {
		o.Limit = Limit
	}
	results := make([][]Result, len(checks))
	var mu sync.Mutex
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() {
			found := o.run(ctx, check)
			mu.Lock()
			defer mu.Unlock()
			results[i] = found
			o.progress(checks, results)
		})
	}
	running.Wait()
	var all []Result
	for _, found := range results {
		all = append(all, found...)
	}
	return all
}

func (o Options) run(ctx context.Context, check Check) []Result {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Limit, fmt.Errorf("no answer within %s", o.Limit))
	defer cancel()
	results := check.Run(ctx)
	for i := range results {
		r := &results[i]
		r.Check = check.Name
		r.Tried, r.Found, r.Fix = o.clean(r.Tried), o.clean(r.Found), o.clean(r.Fix)
	}
	return results
}

// clean keeps a text on one line, without secrets and without what a terminal
// would obey: much of it is what servers say.
func (o Options) clean(text string) string {
	text = redact.URL(redact.CleanLine(text))
	if o.Hide != nil {
		text = o.Hide(text)
	}
	return text
}

func (o Options) progress(checks []Check, results [][]Result) {
	if o.Progress == nil {
		return
	}
	var waiting []string
	for i, check := range checks {
		if results[i] == nil {
			waiting = append(waiting, check.Name)
		}
	}
	o.Progress(waiting)
}

// Failed reports whether one of the results is a failure.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Status == Fail {
			return true
		}
	}
	return false
}
