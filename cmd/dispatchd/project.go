package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// openParts makes the adapters of a local command.
type openParts func(config.Config) (service.LocalParts, error)

// localCommands are those that work on a cloudstation.hcl.
func localCommands(open openParts) []*cobra.Command {
	return []*cobra.Command{newInit(), newValidate(), newBuild(open), newDeploy(open), newUp(open), newDestroy(open)}
}

// addProjectFlag adds the flag that names the project's file.
func addProjectFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", service.DefaultProject, "the project's file; what it names lies beside it")
}

// addOutputFlag adds the flag that chooses what a program can read.
func addOutputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "text, or json: one object")
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return usageError{fmt.Errorf("--output is text or json, got %q", output)}
	}
	return nil
}

// problemsError tells a person what is wrong with a project's files: one
// problem is the error itself, several are printed a line each before it.
func problemsError(cmd *cobra.Command, file string, err error) error {
	var problems tasks.FileProblems
	if !errors.As(err, &problems) || len(problems) == 1 {
		return err
	}
	for _, problem := range problems {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), problem)
	}
	return fmt.Errorf("%s is not valid: %d problems", file, len(problems))
}

// terminalOf returns a stream's terminal, and false where it is none that can
// draw.
func terminalOf(stream any) (*os.File, bool) {
	file, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return nil, false
	}
	return file, os.Getenv("TERM") != "dumb"
}

// interactive reports whether a person can be asked.
func interactive(cmd *cobra.Command) bool {
	in, isFile := cmd.InOrStdin().(*os.File)
	_, errors := terminalOf(cmd.ErrOrStderr())
	return isFile && term.IsTerminal(int(in.Fd())) && errors
}

func say(to io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(to, format+"\n", args...) }
