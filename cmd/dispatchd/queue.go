package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/desk"
)

func newQueue() *cobra.Command {
	var query desk.QueueQuery
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show what waits, what runs, and why each task waits",
		Long: `queue counts the tasks of the work queue (runnable, blocked behind another task of
their job, waiting for a retry, running) and lists the jobs with their first task, the
one that waits longest first. --job lists the tasks of one job in their order.

It reads JetStream alone and changes nothing: it works when no worker does.`,
		Example: `  dispatchd queue
  dispatchd queue --job web --limit 200
  dispatchd queue -o json | jq .totals`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(output.check(), checkLimit(query.Limit)); err != nil {
				return err
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error {
				view, err := d.Queue(ctx, query)
				if err != nil {
					return err
				}
				return output.print(cmd.OutOrStdout(), view, func(p *page) { queueText(p, view) })
			})
		},
	}
	cmd.Flags().StringVar(&query.Job, "job", "", "list the tasks of this job")
	cmd.Flags().IntVar(&query.Limit, "limit", 50, "how many rows to read, at most 1000")
	output.add(cmd)
	return cmd
}

// maxLimit keeps a look at the queue cheap for the server.
const maxLimit = 1000

func checkLimit(limit int) error {
	if limit < 1 || limit > maxLimit {
		return usageError{fmt.Errorf("--limit is 1 to %d, got %d", maxLimit, limit)}
	}
	return nil
}

func queueText(p *page, v desk.QueueView) {
	t := v.Totals
	p.say("%s of %s: %d runnable, %d blocked, %d waiting for a retry, %d running", plural(t.Tasks, "task"), plural(t.Jobs, "job"), t.Runnable, t.Blocked, t.Retry, t.Running)
	if t.Outside > 0 {
		p.say("beside the queue: %s of run-once", plural(t.Outside, "task"))
	}
	if v.Oldest != nil {
		p.say("oldest that does not run: %s of job %s, queued %s ago", v.Oldest.TaskID, v.Oldest.Job, age(v.Oldest.Queued, v.At))
	}
	p.say("slots: %d of %d busy, %s", v.Capacity.Busy, v.Capacity.Slots, plural(v.Capacity.Workers, "worker"))
	if len(v.Jobs) > 0 {
		p.say("")
		p.table(jobTable(v))
	}
	if len(v.Tasks) > 0 {
		p.say("")
		p.table(taskTable(v))
	}
	if v.MoreJobs > 0 {
		p.say("and %s more (--limit)", plural(v.MoreJobs, "job"))
	}
	if v.MoreTasks > 0 {
		p.say("and %s more, which wait behind these (--limit)", plural(v.MoreTasks, "task"))
	}
	p.warnings(v.Warnings)
}

func jobTable(v desk.QueueView) [][]string {
	rows := [][]string{{"JOB", "TASKS", "FIRST", "TASK", "AGE", "STATE", "WHY"}}
	for _, j := range v.Jobs {
		why := j.First.Why.Text
		if j.Behind > 0 {
			why += fmt.Sprintf("; %d more wait behind it", j.Behind)
		}
		rows = append(rows, []string{j.Job, strconv.Itoa(j.Tasks), j.First.TaskID, j.First.Task, age(j.First.Queued, v.At), string(j.First.Why.State), why})
	}
	return rows
}

func taskTable(v desk.QueueView) [][]string {
	rows := [][]string{{"ID", "TASK", "JOB", "AGE", "STATE", "WHY"}}
	for _, r := range v.Tasks {
		rows = append(rows, []string{r.TaskID, r.Task, r.Job, age(r.Queued, v.At), string(r.Why.State), r.Why.Text})
	}
	return rows
}
