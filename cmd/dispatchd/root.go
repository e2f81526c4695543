package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/service"
)

// Exit codes. Legacy callers of run-once rely on the first two.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// interruptedError is the end of a command that a person has stopped.
type interruptedError struct{ error }

// Unwrap returns what was said about it.
func (e interruptedError) Unwrap() error { return e.error }

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// execute runs one command line and returns its exit code. An error is one
// plain sentence on stderr.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return executeRoot(ctx, newRoot(service.OpenLocalParts), args, streams{stdin, stdout, stderr}) //nolint:contextcheck // cobra gives each command the context
}

// streams are a process's three.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func executeRoot(ctx context.Context, root *cobra.Command, args []string, s streams) int {
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var quiet silent
	if !errors.As(err, &quiet) {
		_, _ = fmt.Fprintln(s.err, "dispatchd: "+err.Error())
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var interrupted interruptedError
	if errors.As(err, &interrupted) {
		return exitInterrupted
	}
	return exitFailed
}

// silent is an error that the command has told already.
type silent struct{ error }

// newRoot makes the tree of commands; open gives the local ones their adapters.
func newRoot(open openParts) *cobra.Command {
	root := &cobra.Command{
		Use:   "dispatchd",
		Short: "Deploy worker for platforms on HashiCorp Nomad and NATS",
		Long: `dispatchd takes deploy tasks from a JetStream work queue, clones the repository,
builds and pushes the image, renders the deploy pack, registers the job with Nomad,
waits until it is healthy, and tells the backend over NATS what happened.

On an engineer's own machine it does the same for the cloudstation.hcl of a directory:
init, validate, build, deploy, up, destroy. Those need no NATS.

Settings are environment variables: see "dispatchd config".`,
		Example: `  dispatchd run                 # the service
  dispatchd submit task.json    # publish a task and follow it
  dispatchd up                  # build and deploy the app of this directory
  dispatchd queue               # what waits and why
  dispatchd config              # the settings in force`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchCommand,
		RunE:          versionOrHelp,

		SuggestionsMinimumDistance: 2,
	}
	// Not cobra's own flag: its text is a template, and a program that links
	// text/template's executor keeps every exported method.
	root.Flags().BoolP("version", "v", false, "version for dispatchd")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newRun(), newRunOnce("run-once", false), newRunOnce("dispatch", true), newSubmit(), newCancel(), newQueue(), newShow(), newWorkers(), newDLQ(), newRender(), newSchema(), newConfig(), newDoctor(), newVersion())
	root.AddCommand(localCommands(open)...)
	return root
}

func versionOrHelp(cmd *cobra.Command, _ []string) error {
	if asked, err := cmd.Flags().GetBool("version"); err != nil || !asked {
		return errors.Join(err, cmd.Help())
	}
	return printVersion(cmd, nil)
}

// noSuchCommand refuses a word that is no command, and names the nearest one.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("unknown command %q", args[0])
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf(", did you mean %q?", near[0])
	}
	return usageError{errors.New(message)}
}

// noArgs and oneFile say in one sentence what a command takes.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.Name(), args[0])}
	}
	return nil
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one FILE (- for standard input), got %d", cmd.Name(), len(args))}
	}
	return nil
}
