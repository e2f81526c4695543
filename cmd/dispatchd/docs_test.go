package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated part of docs/cli.md")

const cliDocument = "../../docs/cli.md"

// TestCLIDocumentIsUpToDate holds docs/cli.md to what --help prints.
func TestCLIDocumentIsUpToDate(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- commands:begin -->\n", "<!-- commands:end -->"
	text, err := os.ReadFile(cliDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no %q or no %q", cliDocument, begin, end)
	}
	want := before + begin + commandsText(t) + end + after
	if *update {
		if err := os.WriteFile(cliDocument, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s; `go test ./cmd/dispatchd -update` writes it (-want +got):\n%s", cliDocument, diff)
	}
}

// TestEveryCommandHasAnExample also keeps the document from holding less than
// a reader needs.
func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	for _, cmd := range newRoot(nil).Commands() {
		for _, each := range append(cmd.Commands(), cmd) {
			if each.Short == "" || each.Example == "" {
				t.Errorf("%s has no summary or no example", each.CommandPath())
			}
		}
	}
}

// TestExitCodesAreThoseOfTheDocument runs one command line for each row.
func TestExitCodesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(cliDocument)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, 0},
		{[]string{"submit", "no-such-file.json"}, 1},
		{[]string{"run", "now"}, 2},
		{[]string{"no-such-command"}, 2},
		{[]string{"config", "--no-such-flag"}, 2},
		{[]string{"config", "-o", "yaml"}, 2},
		{[]string{"queue", "-o", "yaml"}, 2},
		{[]string{"queue", "--limit", "0"}, 2},
		{[]string{"show"}, 2},
		{[]string{"show", "--lines", "-1", "a"}, 2},
		{[]string{"cancel"}, 2},
		{[]string{"dlq", "requeue", "--body", "x", "a", "b"}, 2},
		{[]string{"dlq", "show", "--raw", "a"}, 1},
		{[]string{"dlq", "drop", "a"}, 1},
	} {
		var out bytes.Buffer
		if got := execute(t.Context(), c.args, strings.NewReader(""), &out, &out); got != c.want {
			t.Errorf("dispatchd %s exits with %d, want %d: %s", strings.Join(c.args, " "), got, c.want, out.String())
		}
		if row := fmt.Sprintf("| %d |", c.want); !strings.Contains(string(text), row) {
			t.Errorf("%s has no row %q", cliDocument, row)
		}
	}
}

// commandsText is what --help prints, of every command that is not hidden.
func commandsText(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	help := func(args ...string) {
		var out bytes.Buffer
		if code := execute(t.Context(), append(args, "--help"), strings.NewReader(""), &out, &out); code != 0 {
			t.Fatalf("dispatchd %s --help exits with %d: %s", strings.Join(args, " "), code, out.String())
		}
		title := strings.Join(append([]string{"dispatchd"}, args...), " ")
		fmt.Fprintf(&text, "\n### %s\n\n```text\n%s```\n", title, out.String())
	}
	help()
	for _, cmd := range newRoot(nil).Commands() {
		if cmd.Hidden {
			continue
		}
		help(cmd.Name())
		for _, below := range cmd.Commands() {
			help(cmd.Name(), below.Name())
		}
	}
	text.WriteString("\n")
	return text.String()
}
