package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The program has no public door that needs no daemon, so its tests stand
// inside of it.

var update = flag.Bool("update", false, "rewrite testdata")

func TestReadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want settings
		err  string
	}{
		"nothing":          {want: settings{colour: true, binary: "bin/dispatchd"}},
		"both switches":    {env: map[string]string{"YES": "1", "KEEP": "true"}, want: settings{yes: true, keep: true, colour: true, binary: "bin/dispatchd"}},
		"switched off":     {env: map[string]string{"YES": "0", "KEEP": "false"}, want: settings{colour: true, binary: "bin/dispatchd"}},
		"no colours":       {env: map[string]string{"NO_COLOR": "1"}, want: settings{binary: "bin/dispatchd"}},
		"a dumb terminal":  {env: map[string]string{"TERM": "dumb"}, want: settings{binary: "bin/dispatchd"}},
		"another program":  {args: []string{"-dispatchd", "/opt/dispatchd"}, want: settings{colour: true, binary: "/opt/dispatchd"}},
		"no switch":        {env: map[string]string{"KEEP": "forever"}, err: `KEEP is 1 or 0, got "forever"`},
		"two wrong ones":   {env: map[string]string{"KEEP": "x", "YES": "y"}, err: "YES is 1 or 0, got \"y\"\nKEEP is 1 or 0, got \"x\""},
		"an argument":      {args: []string{"now"}, err: `it takes no arguments, got "now"; see -h`},
		"an unknown flag":  {args: []string{"-fast"}, err: "flag provided but not defined: -fast"},
		"a call for help":  {args: []string{"-h"}, err: flag.ErrHelp.Error()},
		"a missing binary": {args: []string{"-dispatchd"}, err: "flag needs an argument: -dispatchd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readSettings(c.args, func(name string) string { return c.env[name] })
			if text(err) != c.err {
				t.Fatalf("error %q, want %q", text(err), c.err)
			}
			if err == nil && got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHostErrorSaysWhatStillWorks(t *testing.T) {
	t.Parallel()
	if err := hostError("linux", 0); err != nil {
		t.Errorf("root on Linux: %v", err)
	}
	for name, err := range map[string]error{"darwin": hostError("darwin", 0), "root": hostError("linux", 1000)} {
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "make build and make unit") {
			t.Errorf("the sentence is %v, want one with %q and what still works", err, name)
		}
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	const list = "install with apt-get: runc\nbuild nomad\n"
	for name, c := range map[string]struct {
		settings settings
		asker    asker
		asked    bool
		err      string
	}{
		"yes in the environment": {settings: settings{yes: true}},
		"a pipe":                 {err: "nobody can be asked here whether this may be installed: run make demo YES=1"},
		"a terminal says yes":    {asker: asker{strings.NewReader("Y\n"), true}, asked: true},
		"a terminal says no":     {asker: asker{strings.NewReader("n\n"), true}, asked: true, err: "nothing was installed; make build and make unit work without"},
		"only return":            {asker: asker{strings.NewReader("\n"), true}, asked: true, err: "nothing was installed; make build and make unit work without"},
		"the end of the input":   {asker: asker{strings.NewReader(""), true}, asked: true, err: "nothing was installed; make build and make unit work without"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := consent(list, c.settings, newScreen(&out, false), c.asker)
			if text(err) != c.err {
				t.Errorf("error %q, want %q", text(err), c.err)
			}
			if !strings.Contains(out.String(), "  install with apt-get: runc\n  build nomad\n") {
				t.Errorf("the list is not shown:\n%s", out.String())
			}
			if asked := strings.Contains(out.String(), "Go on?"); asked != c.asked {
				t.Errorf("asked: %v, want %v", asked, c.asked)
			}
		})
	}
}

// exampleResults are a deployment, one that was rolled back, and a destroy.
func exampleResults() []result {
	stages := func(names ...string) (all []stage) {
		for i, name := range names {
			all = append(all, stage{name, time.Duration(i+1) * 1230 * time.Millisecond})
		}
		return all
	}
	return []result{
		{
			column: "commit 1", record: record{Status: "succeeded", Image: "127.0.0.1:5000/demo/hello@sha256:" + strings.Repeat("1a2b", 16)},
			events: []event{{subject: subjectChanged}, {subject: subjectSucceeded}}, lines: 45, logEnd: "success",
			allocation: "e98d9864-1111-2222-3333-444455556666", answer: "hello from 1",
			stages: stages("clone", "configure", "build", "watch"), took: 7300 * time.Millisecond,
		},
		{
			column: "commit 2", record: record{Status: "failed", Reason: "rolled_back"},
			events: []event{{subject: subjectChanged}, {subject: subjectFailed}}, lines: 1, logEnd: "failed",
			stages: stages("clone", "push", "watch"), took: time.Second,
		},
		{column: "destroy", record: record{Status: "succeeded"}, events: []event{{subject: subjectDestroyed}}, answer: "gone", stages: stages("destroy")},
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for name, styled := range map[string]bool{"table.golden": false, "table-terminal.golden": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			newTable(exampleResults()).print(newScreen(&out, styled))
			golden := "testdata/" + name
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("the table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStageLastsUntilTheNextMessage(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	got := stageTimes([]message{
		{subject: "dispatch.event.a.started", body: []byte(`{}`), at: at(0)},
		{subject: "dispatch.event.a.stage", body: []byte(`{"stage":"clone"}`), at: at(10)},
		{subject: "dispatch.event.a.stage", body: []byte(`{"stage":"watch"}`), at: at(110)},
		{subject: "dispatch.done.a", body: []byte(`{}`), at: at(2110)},
		{subject: "dispatch.event.a.outcome", body: []byte(`{}`), at: at(9000)},
	})
	want := []stage{{"clone", 100 * time.Millisecond}, {"watch", 2 * time.Second}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stage{})); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

func TestCheckWantsExactlyOneOutcome(t *testing.T) {
	t.Parallel()
	changed, succeeded, failed := event{subject: subjectChanged}, event{subject: subjectSucceeded}, event{subject: subjectFailed}
	for name, c := range map[string]struct {
		status string
		events []event
		fine   bool
	}{
		"as it must be":          {"succeeded", []event{changed, succeeded}, true},
		"a destroy":              {"succeeded", []event{{subject: subjectDestroyed}}, true},
		"no beginning":           {"succeeded", []event{succeeded}, false},
		"two ends":               {"succeeded", []event{changed, succeeded, succeeded}, false},
		"both ends":              {"succeeded", []event{changed, succeeded, failed}, false},
		"the wrong order":        {"succeeded", []event{succeeded, changed}, false},
		"another end than noted": {"succeeded", []event{changed, failed}, false},
		"another status":         {"failed", []event{changed, failed}, false},
	} {
		r := result{record: record{Status: c.status}, events: c.events}
		if err := r.check("succeeded"); (err == nil) != c.fine {
			t.Errorf("%s: check returns %v", name, err)
		}
	}
}

func TestQuotedShowsWholeLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	q := &quoted{screen: newScreen(&out, false)}
	for _, part := range []string{"clo", "ne a\nbuild", " b\n", "\nrest"} {
		if n, err := q.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	q.flush()
	if got, want := out.String(), "  | clone a\n  | build b\n  | \n  | rest\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPollReturnsTheError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if err := poll(t.Context(), func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("poll returns %v, want %v", err, broken)
	}
}
