package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/term"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// Exit codes; a shell knows the last one as that of Ctrl-C.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	s, err := readSettings(args, os.Getenv)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return exitOK
	}
	if err != nil {
		return tell(err, exitUsage)
	}
	if err := hostError(runtime.GOOS, os.Geteuid()); err != nil {
		return tell(err, exitFailed)
	}
	screen := newScreen(os.Stdout, s.colour && isTerminal(os.Stdout))
	// Nothing runs yet: until everything is agreed on, Ctrl-C just ends us.
	plan, err := prepare(context.Background(), s, screen)
	if err != nil {
		return tell(err, exitFailed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err = newDemo(s, screen).run(ctx, plan)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return tell(err, exitInterrupted)
	default:
		return tell(err, exitFailed)
	}
}

// tell prints the one sentence with which the demo ends.
func tell(err error, code int) int {
	fmt.Fprintln(os.Stderr, "demo: "+err.Error())
	return code
}

// prepare finds out what is missing on this host and gets leave to install it.
func prepare(ctx context.Context, s settings, screen *screen) (*testbed.Plan, error) {
	plan, err := testbed.NewPlan(ctx, testbed.Options{Log: screen})
	if err != nil {
		return nil, fmt.Errorf("%w; make build and make unit work here", err)
	}
	if plan.Empty() {
		return plan, nil
	}
	return plan, consent(plan.String(), s, screen, asker{in: os.Stdin, terminal: isTerminal(os.Stdin) && isTerminal(os.Stdout)})
}

func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }
