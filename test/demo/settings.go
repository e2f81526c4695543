package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const usage = `make demo            a repository becomes a healthy Nomad job, on this machine
make demo YES=1      the same without a question before something is installed
make demo KEEP=1     leave everything running until Ctrl-C

DISPATCHD_CACHE      where built programs are kept (dispatchd in the user's cache)
NO_COLOR             no colours
`

// settings are what the caller may choose.
type settings struct {
	// yes answers the question, keep leaves everything running.
	yes, keep bool
	colour    bool
	// binary is the dispatchd that is shown.
	binary string
}

func readSettings(args []string, getenv func(string) string) (settings, error) {
	s := settings{colour: getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.binary, "dispatchd", "bin/dispatchd", "")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("it takes no arguments, got %q; see -h", flags.Arg(0))
	}
	var yesErr, keepErr error
	s.yes, yesErr = readSwitch("YES", getenv)
	s.keep, keepErr = readSwitch("KEEP", getenv)
	return s, errors.Join(yesErr, keepErr)
}

func readSwitch(name string, getenv func(string) string) (bool, error) {
	text := getenv(name)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s is 1 or 0, got %q", name, text)
	}
	return on, nil
}

// hostError says what this host lacks and what works without it.
func hostError(goos string, euid int) error {
	if goos != "linux" {
		return fmt.Errorf("the demo runs Docker, BuildKit and Nomad on Linux, and this is %s; make build and make unit work here", goos)
	}
	if euid != 0 {
		return errors.New("the demo needs root, because it starts dockerd, buildkitd and a Nomad client; make build and make unit work without")
	}
	return nil
}

// asker is whoever may be asked.
type asker struct {
	in io.Reader
	// terminal is false where nobody would see the question.
	terminal bool
}

// consent lists what is missing and asks once whether it may be installed.
func consent(list string, s settings, screen *screen, a asker) error {
	screen.heading("This machine lacks some programs; the demo would")
	_, _ = screen.Write([]byte(list))
	if s.yes {
		return nil
	}
	if !a.terminal {
		return errors.New("nobody can be asked here whether this may be installed: run make demo YES=1")
	}
	screen.ask("Go on? [y/N] ")
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was installed; make build and make unit work without")
}
