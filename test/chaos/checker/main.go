// Command checker reads the streams of a chaos run and says what it came to. It
// ends with 1 where a promise was broken. It knows nothing of the workers.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/check"
)

// patience is how long reading may take.
const patience = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	broken, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "checker:", err)
		os.Exit(1)
	}
	if broken {
		os.Exit(1)
	}
}

func run(ctx context.Context) (broken bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	nc, err := nats.Connect(os.Getenv("NATS_SERVERS"))
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", os.Getenv("NATS_SERVERS"), err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return false, err
	}
	story, report, err := check.ReadStory(ctx, js)
	if err != nil {
		return false, err
	}
	return len(report.Violations) > 0, show(story, report)
}

func show(story check.Story, report check.Report) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	for _, violation := range report.Violations {
		say("%s\n", violation)
	}
	say("seed %d, %s, load at the start %s\n\n", story.Run.Seed, time.Since(story.Run.Began).Round(time.Second), story.Run.Load)
	say("accepted\tended\tlost\ttwice\tcontradicted\tout of order\n%d\t%d\t%d\t%d\t%d\t%d\n\n",
		len(story.Accepted), report.Tasks, report.Lost, report.Twice, report.Contradicted, report.Disordered)
	say("fault\ttimes\ttasks met\trecovery p50\tp99\tmax\n")
	for _, r := range report.Recoveries(story) {
		say("%s\t%d\t%d\t%s\t%s\t%s\n", r.Kind, r.Faults, r.Tasks, tenths(r.P50), tenths(r.P99), tenths(r.Max))
	}
	reasons := report.Reasons()
	var ends []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		ends = append(ends, fmt.Sprintf("%s %d", reason, reasons[reason]))
	}
	say("\nended as: %s\n", strings.Join(ends, ", "))
	return out.Flush()
}

func tenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
