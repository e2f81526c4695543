package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/desk"
)

func newWorkers() *cobra.Command {
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "workers",
		Short: "Show the workers that live and the tasks that they hold",
		Long: `workers lists who gives signs of life (a worker that dies is gone from the list within
25 s): busy and all slots, version, host, and the tasks whose lease it holds. It warns
where no worker lives, where versions differ, and where a lease has outlived its worker.`,
		Example: `  dispatchd workers
  dispatchd workers -o json | jq -r '.workers[].id'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error {
				view, err := d.Workers(ctx)
				if err != nil {
					return err
				}
				return output.print(cmd.OutOrStdout(), view, func(p *page) { workersText(p, view) })
			})
		},
	}
	output.add(cmd)
	return cmd
}

func workersText(p *page, v desk.Workers) {
	if len(v.Workers) > 0 {
		rows := [][]string{{"WORKER", "STATE", "SLOTS", "VERSION", "HOST", "UP", "TASKS"}}
		for _, w := range v.Workers {
			rows = append(rows, []string{
				w.ID, workerState(w), fmt.Sprintf("%d/%d", w.Busy, w.Slots), w.Version, w.Host, age(w.Started, v.At), heldText(w.Tasks),
			})
		}
		p.table(rows)
	}
	p.warnings(v.Warnings)
}

func workerState(w desk.Worker) string {
	switch {
	case w.Draining:
		return "draining"
	case w.Once:
		return "run-once"
	default:
		return "serving"
	}
}

func heldText(held []desk.Held) string {
	if len(held) == 0 {
		return "-"
	}
	names := make([]string, len(held))
	for i, h := range held {
		names[i] = fmt.Sprintf("%s (job %s)", h.TaskID, h.Job)
	}
	return strings.Join(names, ", ")
}
