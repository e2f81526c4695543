package tasks_test

import (
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestTargetTokenIsAToken(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		"shop":                   "shop",
		"A-b_9":                  "A-b_9",
		strings.Repeat("a", 128): strings.Repeat("a", 128),
		// printf %s a.b | sha256sum
		"a.b": "x2e7336dc8eba87ef472df568c35482ab",
		"":    "xe3b0c44298fc1c149afbf4c8996fb924",
	}
	for jobID, want := range rows {
		if got := tasks.TargetToken(jobID); got != want {
			t.Errorf("TargetToken(%q) = %q, want %q", jobID, got, want)
		}
	}
	for _, jobID := range []string{"a b", "a>", "*", "ü", strings.Repeat("a", 129)} {
		if got := tasks.TargetToken(jobID); !tasks.ValidID(got) || len(got) != 33 {
			t.Errorf("TargetToken(%q) = %q", jobID, got)
		}
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "-", "A_b-9", strings.Repeat("x", 128)} {
		if !tasks.ValidID(id) {
			t.Errorf("ValidID(%q) = false", id)
		}
	}
	for _, id := range []string{"", "a.b", "a*b", ">", "a b", "ä", "a\n", "\x00", strings.Repeat("x", 129)} {
		if tasks.ValidID(id) {
			t.Errorf("ValidID(%q) = true", id)
		}
	}
}

func TestNewIDIsValidAndNew(t *testing.T) {
	t.Parallel()
	a, b := tasks.NewID(), tasks.NewID()
	if !tasks.ValidID(a) || len(a) < 26 || a == b {
		t.Errorf("NewID() = %q, %q", a, b)
	}
}

func TestIDFromNomadJob(t *testing.T) {
	t.Parallel()
	rows := map[string]string{ // empty: none
		"runner/dispatch-1699999999-1a2b3c4d":    "dispatch-1699999999-1a2b3c4d",
		"team/runner/dispatch-1-ff":              "dispatch-1-ff",
		"dispatch-1-ff":                          "dispatch-1-ff",
		"":                                       "",
		"runner":                                 "",
		"runner/periodic-1699999999":             "",
		"runner/dispatch-1699999999":             "",
		"runner/dispatch--ff":                    "",
		"runner/dispatch-1-":                     "",
		"runner/dispatch-1-fg":                   "",
		"runner/dispatch-1-FF":                   "",
		"runner/dispatch-x-ff":                   "",
		"runner/dispatch-1-ff-2":                 "",
		"runner/dispatch-1-ff/":                  "",
		"dispatch-1-" + strings.Repeat("f", 128): "",
		"dispatch-1-ff/another":                  "",
	}
	for job, want := range rows {
		if got, ok := tasks.IDFromNomadJob(job); got != want || ok != (want != "") {
			t.Errorf("IDFromNomadJob(%q) = %q, %v, want %q", job, got, ok, want)
		}
	}
}
