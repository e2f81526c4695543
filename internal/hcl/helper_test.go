package hcl_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// failureMessage returns the message of a config_invalid failure.
func failureMessage(t testing.TB, err error) string {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error = %v, want a *tasks.Failure", err)
	}
	if failure.Reason != tasks.ReasonConfigInvalid {
		t.Errorf("reason = %s, want %s", failure.Reason, tasks.ReasonConfigInvalid)
	}
	return failure.Message
}

// parsed writes cloudstation.hcl and reads it back.
func parsed(t *testing.T, plan tasks.Plan) tasks.Project {
	t.Helper()
	p, err := hcl.Generator{}.ParseProject(project(t, plan))
	if err != nil {
		t.Fatalf("ParseProject: %v", err)
	}
	return p
}

func diff(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// tcpPorts are ports that an image exposes.
func tcpPorts(numbers ...int) []tasks.Port {
	ports := make([]tasks.Port, len(numbers))
	for i, number := range numbers {
		ports[i] = tasks.Port{Number: number, Protocol: "tcp"}
	}
	return ports
}
