package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/events"
)

func newShow() *cobra.Command {
	var query desk.ShowQuery
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one task on one screen: where it is, since when, and why",
		Long: `show gathers what is known of a task: where it is and why, since when, its attempts, its
worker and whether that lives, what it has reached, its last failure, whether its end was
asked for, its outcome, its dead letters, its events and the last lines of its log.

It exits with 1 where nothing is known of the id. Ids are known for 90 days after their end.`,
		Example: `  dispatchd show 01HX3V
  dispatchd show --lines 100 01HX3V
  dispatchd show -o json 01HX3V | jq -r .state`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			query.ID = args[0]
			if err := output.check(); err != nil {
				return err
			}
			if query.Lines < 0 || query.Lines > maxLimit {
				return usageError{fmt.Errorf("--lines is 0 to %d, got %d", maxLimit, query.Lines)}
			}
			if query.Events < 0 || query.Events > maxLimit {
				return usageError{fmt.Errorf("--events is 0 to %d, got %d", maxLimit, query.Events)}
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error { return show(ctx, cmd, d, query, output) })
		},
	}
	cmd.Flags().IntVar(&query.Lines, "lines", 10, "how many of the last log lines; 0 asks no stream of the backend")
	cmd.Flags().IntVar(&query.Events, "events", 12, "how many of the last run events")
	output.add(cmd)
	return cmd
}

func show(ctx context.Context, cmd *cobra.Command, d *desk.Desk, query desk.ShowQuery, output outputFlag) error {
	view, err := d.Show(ctx, query)
	if err != nil {
		return err
	}
	if !view.Known() && len(view.Events) == 0 && output != "json" {
		return fmt.Errorf("task %s: %s", view.TaskID, view.Text)
	}
	if err := output.print(cmd.OutOrStdout(), view, func(p *page) { showText(p, view) }); err != nil {
		return err
	}
	if !view.Known() {
		return silent{fmt.Errorf("task %s is not known", view.TaskID)}
	}
	return nil
}

func showText(p *page, v desk.TaskView) {
	p.field("task", strings.TrimSpace(v.TaskID+"  "+v.Task))
	p.field("job", v.Job)
	p.field("state", strings.ToUpper(string(v.State)))
	p.field("", v.Text)
	p.field("since", when(v.Since, v.At))
	p.field("queued", when(v.Queued, v.At))
	p.field("started", when(v.Started, v.At))
	p.field("trace", v.TraceID)
	p.field("from", v.RequeuedFrom)
	p.field("requeued as", v.RequeuedAs)
	runText(p, v)
	causeText(p, v)
	if v.Outcome != nil {
		outcomeLines(p, v)
	}
	historyText(p, v)
}

// runText is what stands in the open run.
func runText(p *page, v desk.TaskView) {
	r := v.Run
	if r == nil {
		return
	}
	lives := "lives"
	if !r.WorkerLives {
		lives = "gives no sign of life"
	}
	p.field("worker", fmt.Sprintf("%s (%s)", r.Worker, lives))
	attempts := fmt.Sprintf("%d", r.Attempts)
	if r.HandedBack > 0 {
		attempts += fmt.Sprintf(", %d handed back", r.HandedBack)
	}
	if r.Lost > 0 {
		attempts += fmt.Sprintf(", %d lost with their worker", r.Lost)
	}
	p.field("attempts", attempts)
	p.field("commit", r.Reached.Commit)
	p.field("image", r.Reached.Image)
	if r.Reached.JobVersion != nil {
		p.field("registered", fmt.Sprintf("job %s version %d", r.Reached.NomadJob, *r.Reached.JobVersion))
	}
}

// causeText is what went wrong or was asked for so far.
func causeText(p *page, v desk.TaskView) {
	if c := v.Cancel; c != nil {
		p.field("cancel", strings.TrimSuffix(when(&c.Asked, v.At)+": "+c.Why, ": "))
	}
	if f := v.Failure; f != nil {
		p.field("failure", fmt.Sprintf("attempt %d in %s, %s ago: %s (%s)", f.Attempt, f.Stage, age(f.At, v.At), f.Message, f.Reason))
	}
	for _, l := range v.Letters {
		p.field("dead letter", fmt.Sprintf("%s, %s ago: %s (%s)", l.Address, age(l.Stored, v.At), l.Message, l.Reason))
	}
}

func outcomeLines(p *page, v desk.TaskView) {
	o := *v.Outcome
	p.field("outcome", outcomeText(o))
	if o.Fault != "" {
		p.field("fault", fmt.Sprintf("%s (%s)", o.Fault, o.Class))
	}
	if v.Run == nil {
		p.field("attempts", fmt.Sprint(o.Attempt))
		p.field("commit", o.Commit)
		p.field("image", o.Image)
	}
	p.field("destroyed", strings.Join(o.Destroyed, ", "))
	p.field("not gone", strings.Join(o.Undestroyed, ", "))
	for _, warning := range o.Warnings {
		p.field("warning", warning)
	}
}

// historyText is the events and the end of the log.
func historyText(p *page, v desk.TaskView) {
	if len(v.Events) > 0 {
		p.say("")
		p.say("events")
		rows := make([][]string, len(v.Events))
		for i, e := range v.Events {
			rows[i] = []string{"  " + e.At, e.Event, eventText(e)}
		}
		p.table(rows)
	}
	if len(v.Log) > 0 {
		p.say("")
		p.say("log")
		for _, line := range v.Log {
			p.say("  %5d %-8s %s", line.Sequence, line.Phase, line.Content)
		}
	}
}

// eventText is what one event says beside its name.
func eventText(e events.RunEvent) string {
	switch e.Event {
	case events.EventWaiting:
		if e.Behind == "" {
			return "cannot begin: " + e.Message
		}
		return "for task " + e.Behind
	case events.EventStarted:
		return fmt.Sprintf("attempt %d on %s", e.Attempt, e.Worker)
	case events.EventStage:
		return string(e.Stage)
	case events.EventRetry:
		return fmt.Sprintf("attempt %d in %s, again in %ds: %s (%s)", e.Attempt, e.Stage, e.DelayMS/1000, e.Message, e.Reason)
	case events.EventOutcome:
		return outcomeText(desk.OutcomeView{Status: e.Status, Reason: e.Reason, Stage: e.Stage, Message: e.Message})
	case events.EventRequeued:
		if e.RequeuedAs != "" {
			return "as " + e.RequeuedAs
		}
		return "from " + e.RequeuedFrom
	default:
		return ""
	}
}
