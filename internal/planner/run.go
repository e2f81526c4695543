package planner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// maxPlan is far above any real plan, which is read whole.
const maxPlan = 8 << 20

// tempFail is how railpack says that trying again may help: EX_TEMPFAIL.
const tempFail = 75

// inheritable are the variables of the worker that a program may see: where
// other programs are, which certificates it trusts and through which proxy it
// goes. Nothing that authenticates is among them.
var inheritable = []string{
	"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

func inherit(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if slices.Contains(inheritable, name) {
			kept = append(kept, pair)
		}
	}
	return kept
}

// undetected are what the programs say where they do not know the app.
var undetected = []string{"unable to generate a build plan", "could not determine how to build the app"}

// run has the program plan, and makes a failure of what it says where it fails.
func (j job) run(ctx context.Context, found program, args []string, to output) error {
	last := &tail{}
	err := j.start(ctx, found.file, args, output{
		stdout: io.MultiWriter(to.stdout, last), stderr: io.MultiWriter(to.stderr, last),
	})
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	said := last.lines()
	switch {
	case errors.Is(err, syscall.E2BIG):
		return tasks.Fail(tasks.ReasonConfigInvalid, "the build arguments are too large for "+found.name, err)
	case cannotStart(err):
		return found.missing(fmt.Sprintf("at %s cannot be started", found.file), err)
	case errors.As(err, &exit) && exit.ExitCode() == tempFail:
		return tasks.Fail(tasks.ReasonBuilderDown, found.name+" cannot plan the build now: "+said, err)
	case slices.ContainsFunc(undetected, func(sign string) bool { return strings.Contains(last.text(), sign) }):
		return tasks.Fail(tasks.ReasonBuildFailed,
			found.name+" does not know what kind of app this is: add a Dockerfile, or a start command and what it needs", err)
	default:
		return tasks.Fail(tasks.ReasonBuildFailed, found.name+" cannot plan the build: "+said, err)
	}
}
