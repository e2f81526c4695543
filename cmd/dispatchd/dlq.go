package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dispatchd/dispatchd/internal/desk"
)

func newDLQ() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "List, show, requeue and drop dead letters",
		Long: `dlq is about the tasks that could not be read and were put away. They are kept for 14
days, and nothing drops them before but you. A letter is named by its ID, or by ID@SEQ
where there are several of one id.`,
		Example: `  dispatchd dlq ls
  dispatchd dlq show 01HX3V
  dispatchd dlq requeue 01HX3V`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLetterList(), newLetterShow(), newLetterRequeue(), newLetterDrop())
	return cmd
}

func newLetterList() *cobra.Command {
	var limit int
	var output outputFlag
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the newest dead letters",
		Example: "  dispatchd dlq ls\n  dispatchd dlq ls --limit 500 -o json | jq -r '.letters[].address'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(output.check(), checkLimit(limit)); err != nil {
				return err
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error {
				view, err := d.Letters(ctx, limit)
				if err != nil {
					return err
				}
				return output.print(cmd.OutOrStdout(), view, func(p *page) { lettersText(p, view) })
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many letters to list, at most 1000")
	output.add(cmd)
	return cmd
}

func lettersText(p *page, v desk.Letters) {
	if v.Total == 0 {
		p.say("no dead letters")
		return
	}
	rows := [][]string{{"LETTER", "TASK", "JOB", "REASON", "AGE", "ATTEMPTS", "SUBJECT"}}
	for _, l := range v.Letters {
		rows = append(rows, []string{l.Address, or(l.Task, "-"), or(l.Job, "-"), string(l.Reason), age(l.Stored, v.At), strconv.Itoa(l.Attempt), l.Subject})
	}
	p.table(rows)
	if more := v.Total - len(v.Letters); more > 0 {
		p.say("and %d older ones (--limit)", more)
	}
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// letterShowFlags are the flags of dlq show.
type letterShowFlags struct {
	raw, yes bool
	output   outputFlag
}

func newLetterShow() *cobra.Command {
	var flags letterShowFlags
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter without its secrets",
		Long: `show prints why a task was put away, its headers, and its body with every secret
masked. --raw writes the body byte for byte, tokens and passwords included, and asks
for --yes.`,
		Example: `  dispatchd dlq show 01HX3V
  dispatchd dlq show --raw --yes 01HX3V > body.json`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.output.check(); err != nil {
				return err
			}
			if flags.raw && !flags.yes {
				return errors.New("--raw shows the tokens and passwords of the task: say --yes, too")
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error { return showLetter(ctx, cmd, d, args[0], flags) })
		},
	}
	cmd.Flags().BoolVar(&flags.raw, "raw", false, "write the body as it came, secrets included")
	cmd.Flags().BoolVar(&flags.yes, "yes", false, "secrets may be shown")
	flags.output.add(cmd)
	return cmd
}

func showLetter(ctx context.Context, cmd *cobra.Command, d *desk.Desk, address string, flags letterShowFlags) error {
	letter, err := d.Letter(ctx, address)
	if err != nil {
		return err
	}
	if flags.raw {
		_, err := cmd.OutOrStdout().Write(letter.Raw())
		return err
	}
	view := d.Masked(letter)
	return flags.output.print(cmd.OutOrStdout(), view, func(p *page) { letterText(p, view) })
}

func letterText(p *page, v desk.LetterView) {
	p.field("letter", v.Address)
	p.field("task", strings.TrimSpace(v.Task+"  "+v.Job))
	p.field("subject", v.Subject)
	p.field("stored", when(&v.Stored, v.At))
	p.field("attempts", strconv.Itoa(v.Attempt))
	p.field("reason", string(v.Reason))
	p.field("error", v.Message)
	p.field("requeue", or(v.Refusal, "as it is"))
	p.say("")
	for _, name := range slices.Sorted(maps.Keys(v.Headers)) {
		for _, value := range v.Headers[name] {
			p.say("%s: %s", name, value)
		}
	}
	p.say("")
	if v.Body != nil {
		if pretty, err := json.MarshalIndent(v.Body, "", "  "); err == nil {
			for line := range strings.SplitSeq(string(pretty), "\n") {
				p.say("%s", line)
			}
		}
		return
	}
	p.say("(%d bytes that are no task; what could be a secret is masked)", v.Bytes)
	for line := range strings.SplitSeq(v.Text, "\n") {
		p.say("%s", line)
	}
}

// requeueFlags are the flags of dlq requeue.
type requeueFlags struct {
	body   string
	force  bool
	output outputFlag
}

func newLetterRequeue() *cobra.Command {
	var flags requeueFlags
	cmd := &cobra.Command{
		Use:   "requeue ID…",
		Short: "Make a dead letter a new request with a new id",
		Long: `requeue publishes the task of a letter again, with a new id and a link to the old one
(Dispatch-Requeued-From), and deletes the letter then. The body is checked before as a
worker would. One that no worker takes needs a corrected body (--body): then the body
says what the task is about. A task whose old id waits or runs yet is refused.`,
		Example: `  dispatchd dlq requeue 01HX3V
  dispatchd dlq show --raw --yes 01HX3V > body.json   # correct it, then
  dispatchd dlq requeue --body body.json 01HX3V`,
		Args: someIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.output.check(); err != nil {
				return err
			}
			if flags.body != "" && len(args) > 1 {
				return usageError{errors.New("--body is for one letter")}
			}
			return requeue(cmd, args, flags)
		},
	}
	cmd.Flags().StringVar(&flags.body, "body", "", "a file with the corrected body; - is standard input")
	cmd.Flags().BoolVar(&flags.force, "force", false, "also where a task of the old id waits or runs")
	flags.output.add(cmd)
	return cmd
}

func requeue(cmd *cobra.Command, addresses []string, flags requeueFlags) error {
	var body []byte
	if flags.body != "" {
		var err error
		if body, err = readFile(cmd, flags.body); err != nil {
			return err
		}
	}
	return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error {
		return eachID(addresses, func(address string) error {
			letter, err := d.Letter(ctx, address)
			if err != nil {
				return err
			}
			made, err := d.Requeue(ctx, desk.Requeue{Letter: letter, Body: body, Force: flags.force})
			if err != nil {
				return err
			}
			return printRequeued(cmd, letter, made, flags.output)
		})
	})
}

func printRequeued(cmd *cobra.Command, letter desk.Letter, made desk.Requeued, output outputFlag) error {
	if output == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(made)
	}
	p := &page{}
	if made.Before {
		p.say("%s: was requeued a moment ago already; its letter is deleted now", letter.Address)
	} else {
		p.say("%s: requeued as %s on %s", letter.Address, made.TaskID, made.Subject)
	}
	if made.Unlinked != "" {
		p.say("a run event that links the two is missing: %s", made.Unlinked)
	}
	_, err := cmd.OutOrStdout().Write(p.text)
	return err
}

func newLetterDrop() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop ID…",
		Short: "Delete dead letters for good",
		Long: `drop deletes each letter for good. On a terminal it asks for each; elsewhere it wants
--yes.`,
		Example: `  dispatchd dlq drop 01HX3V
  dispatchd dlq drop --yes 01HX3V@17 01HX3V@18`,
		Args: someIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes && !isTerminal(cmd) {
				return errors.New("drop deletes for good: say --yes where nobody can be asked")
			}
			return atDesk(cmd, func(ctx context.Context, d *desk.Desk) error {
				return eachID(args, func(address string) error { return dropOne(ctx, cmd, d, address, yes) })
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func dropOne(ctx context.Context, cmd *cobra.Command, d *desk.Desk, address string, yes bool) error {
	letter, err := d.Letter(ctx, address)
	if err != nil {
		return err
	}
	p := &page{}
	if !yes && !agreed(cmd, letter) {
		p.say("%s: stays", letter.Address)
	} else if err := d.Drop(ctx, letter); err != nil {
		return err
	} else {
		p.say("%s: dropped", letter.Address)
	}
	_, err = cmd.OutOrStdout().Write(p.text)
	return err
}

func isTerminal(cmd *cobra.Command) bool {
	file, isFile := cmd.InOrStdin().(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// agreed asks a person.
func agreed(cmd *cobra.Command, letter desk.Letter) bool {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "drop %s (%s, %s) for good? [y/N] ", letter.Address, letter.Subject, letter.Reason)
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
