package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/desk"
)

// cancelFlags are the flags of cancel.
type cancelFlags struct {
	wait   bool
	why    string
	output outputFlag
}

func newCancel() *cobra.Command {
	var flags cancelFlags
	cmd := &cobra.Command{
		Use:   "cancel ID…",
		Short: "End tasks: running, waiting, or not come yet",
		Long: `cancel asks for the end of each task and says where it was. A running step is stopped
within 10 s and the outcome is failed, reason cancelled. A task that waits ends when it is
delivered next, at the end of its wait, without being carried out. One that has not come
yet ends when it comes, and one that has ended is left alone.`,
		Example: `  dispatchd cancel 01HX3V
  dispatchd cancel --wait --why "wrong branch" 01HX3V 01HX3W`,
		Args: someIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.output.check(); err != nil {
				return err
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error {
				return cancelAll(ctx, cmd, d, args, flags)
			})
		},
	}
	cmd.Flags().BoolVar(&flags.wait, "wait", false, "return when the tasks that are known have ended")
	cmd.Flags().StringVar(&flags.why, "why", "", "a word for whoever asks later; `show` prints it")
	flags.output.add(cmd)
	return cmd
}

// eachID does something with each id, also after one has failed.
func eachID(ids []string, do func(id string) error) error {
	var failed error
	for _, id := range ids {
		failed = errors.Join(failed, do(id))
	}
	return failed
}

// cancelAll asks for the end of every task before it waits for that of the first.
func cancelAll(ctx context.Context, cmd *cobra.Command, d *desk.Desk, ids []string, flags cancelFlags) error {
	var asked []desk.Cancelled
	failed := eachID(ids, func(id string) error {
		found, err := d.Cancel(ctx, id, reasonOf(flags.why))
		if err != nil {
			return err
		}
		asked = append(asked, found)
		if flags.output == "json" {
			return nil
		}
		return sayNow(cmd, "%s", found.Text)
	})
	for _, found := range asked {
		failed = errors.Join(failed, awaitCancelled(ctx, cmd, d, found, flags))
	}
	return failed
}

// awaitCancelled waits for the end of a task, where that is wanted and can come.
func awaitCancelled(ctx context.Context, cmd *cobra.Command, d *desk.Desk, found desk.Cancelled, flags cancelFlags) error {
	waits := flags.wait && found.Asked && found.Was.State != desk.StateUnknown && found.Was.State != desk.StateDeadLetter
	if waits {
		var err error
		if found.Outcome, err = d.Await(ctx, found.TaskID); err != nil {
			return fmt.Errorf("wait for the end of %s, which stays asked for: %w", found.TaskID, err)
		}
	}
	if flags.output == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(found)
	}
	if !waits {
		return nil
	}
	return sayNow(cmd, "%s: ended: %s", found.TaskID, outcomeText(*found.Outcome))
}

// sayNow writes one line at once: what follows may take its time.
func sayNow(cmd *cobra.Command, format string, args ...any) error {
	p := &page{}
	p.say(format, args...)
	_, err := cmd.OutOrStdout().Write(p.text)
	return err
}

// reasonOf is what stands in the request: the given word, else who asked.
func reasonOf(why string) string {
	if why != "" {
		return why
	}
	if who, err := user.Current(); err == nil {
		return "asked by " + who.Username
	}
	return ""
}

// outcomeText is an outcome in one line.
func outcomeText(o desk.OutcomeView) string {
	if o.Reason == "" {
		return o.Status
	}
	text := fmt.Sprintf("%s (%s)", o.Status, o.Reason)
	if o.Stage != "" {
		text += " in " + string(o.Stage)
	}
	if o.Message != "" {
		text += ": " + o.Message
	}
	return text
}
