package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// submitFlags are the flags of submit.
type submitFlags struct {
	detach bool
	output string
}

func newSubmit() *cobra.Command {
	var flags submitFlags
	cmd := &cobra.Command{
		Use:   "submit FILE",
		Short: "Publish a task and follow it to its end",
		Long: `submit publishes the task of FILE ({"task": …, "params": …}) to the work queue and
follows its stages and its log until it has ended. It exits with 0 when the task has
succeeded, with 1 when it has failed, and with 130 after Ctrl-C, which ends the watching
alone: the task goes on. A destroy of several jobs is one task a job.`,
		Example: `  dispatchd submit task.json
  dispatchd submit --detach task.json
  dispatchd submit -o json - < task.json`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return submit(cmd, args[0], flags) },
	}
	cmd.Flags().BoolVar(&flags.detach, "detach", false, "publish the task and return at once")
	cmd.Flags().StringVarP(&flags.output, "output", "o", "text", "text, or json: one object a line")
	return cmd
}

func submit(cmd *cobra.Command, file string, flags submitFlags) error {
	if flags.output != "text" && flags.output != "json" {
		return usageError{fmt.Errorf("--output is text or json, got %q", flags.output)}
	}
	text, err := readFile(cmd, file)
	if err != nil {
		return err
	}
	submissions, err := service.SplitTask(text)
	if err != nil {
		return err
	}
	host, err := service.NewHost(version(), os.Environ(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	client, err := service.NewClient(cmd.Context(), host)
	if err != nil {
		return err
	}
	defer client.Close()
	printer := newPrinter(cmd.OutOrStdout(), flags.output)
	var failed error
	for _, submission := range submissions {
		if err := submitOne(cmd.Context(), client, submission, printer, flags.detach); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func submitOne(ctx context.Context, client *service.Client, s service.Submission, p *printer, detach bool) error {
	if detach {
		queued, err := client.Publish(ctx, s)
		if err == nil {
			p.heard(service.Update{Queued: &queued})
		}
		return err
	}
	settled, err := client.Follow(ctx, s, p.heard)
	if err != nil && ctx.Err() != nil && p.queued == s.Task.ID {
		return interruptedError{fmt.Errorf("interrupted: task %s goes on without us", s.Task.ID)}
	}
	if err != nil {
		return err
	}
	if !settled.Succeeded() {
		return silent{fmt.Errorf("the task failed: %s", settled.Message)}
	}
	return nil
}

// printer tells a person or a program what a follower hears.
type printer struct {
	out    io.Writer
	json   bool
	colour bool
	began  time.Time
	// queued is the id of the last task that the queue took.
	queued string
	// behind is the last task of which was said that it goes first.
	behind string
}

func newPrinter(out io.Writer, output string) *printer {
	file, isFile := out.(*os.File)
	return &printer{out: out, json: output == "json", colour: isFile && term.IsTerminal(int(file.Fd())), began: time.Now()}
}

func (p *printer) heard(u service.Update) {
	if u.Queued != nil {
		p.queued = u.Queued.TaskID
	}
	if p.json {
		line, err := json.Marshal(u)
		if err == nil {
			p.say("%s", line)
		}
		return
	}
	switch {
	case u.Queued != nil:
		p.say("queued %s", u.Queued.TaskID)
	case u.Event != nil:
		p.event(*u.Event)
	case u.Line != nil:
		p.line(u.Line)
	case u.Settled != nil:
		p.settled(*u.Settled)
	}
}

func (p *printer) waiting(e events.RunEvent) {
	if e.Behind == "" {
		p.say("%s", p.bold("==> cannot begin yet: "+e.Message))
	} else if e.Behind != p.behind {
		p.say("%s", p.bold("==> waits for task "+e.Behind+" of the same job"))
	}
	p.behind = e.Behind
}

func (p *printer) event(e events.RunEvent) {
	switch e.Event {
	case events.EventWaiting:
		p.waiting(e)
	case events.EventStage:
		p.say("%s", p.bold(fmt.Sprintf("==> %s (%s)", e.Stage, p.since())))
	case events.EventStarted:
		p.say("%s", p.bold(fmt.Sprintf("==> started by %s, attempt %d", e.Worker, e.Attempt)))
	case events.EventRetry:
		p.say("%s", p.bold(fmt.Sprintf("==> handed back in %s: %s; tried again in %s", e.Stage, e.Message, time.Duration(e.DelayMS)*time.Millisecond)))
	}
}

// line prints the content of a build log line.
func (p *printer) line(raw json.RawMessage) {
	var line struct {
		Content string `json:"content"`
		Phase   string `json:"phase"`
	}
	if json.Unmarshal(raw, &line) == nil {
		p.say("%-8s %s", line.Phase, line.Content)
	}
}

func (p *printer) settled(s worker.Settlement) {
	if !s.Succeeded() {
		p.say("%s", p.bold(fmt.Sprintf("FAILED in %s after %s: %s (%s)", s.Stage, p.since(), s.Message, s.Reason)))
		return
	}
	p.say("%s", p.bold("SUCCEEDED after "+p.since()))
	if s.Image != "" {
		p.say("image %s", s.Image)
	}
	for _, warning := range s.Warnings {
		p.say("warning: %s", warning)
	}
}

func (p *printer) since() string { return time.Since(p.began).Round(100 * time.Millisecond).String() }

func (p *printer) bold(text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

func (p *printer) say(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format+"\n", args...) }
