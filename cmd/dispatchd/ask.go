package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// errNotAnswered says that a question was left open.
var errNotAnswered = errors.New("the question was not answered: nothing has been changed")

// asker asks a person questions, one line each.
type asker struct {
	in  *bufio.Reader
	out io.Writer
}

func newAsker(cmd *cobra.Command) *asker {
	return &asker{in: bufio.NewReader(cmd.InOrStdin()), out: cmd.ErrOrStderr()}
}

// ask returns the answer, or what is proposed where it is empty.
func (a *asker) ask(ctx context.Context, question, proposed string) (string, error) {
	_, _ = fmt.Fprintf(a.out, "%s [%s]: ", question, proposed)
	answer, err := a.line(ctx)
	if answer == "" {
		answer = proposed
	}
	return answer, err
}

// confirm reports whether the answer is yes.
func (a *asker) confirm(ctx context.Context, question string) (bool, error) {
	_, _ = fmt.Fprintf(a.out, "%s [y/N]: ", question)
	answer, err := a.line(ctx)
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}

// line reads one line. A terminal's read cannot be interrupted: after Ctrl-C
// it is left behind, and the process ends.
func (a *asker) line(ctx context.Context) (string, error) {
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		text, err := a.in.ReadString('\n')
		done <- read{text, err}
	}()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(a.out)
		return "", interruptedError{errors.New("interrupted: nothing has been changed")}
	case r := <-done:
		if r.err != nil {
			_, _ = fmt.Fprintln(a.out)
			return "", errNotAnswered
		}
		return strings.TrimSpace(r.text), nil
	}
}
