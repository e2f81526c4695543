package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestVersionIsOneLine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}, {"-v"}} {
		var out, errs bytes.Buffer
		code := execute(t.Context(), args, strings.NewReader(""), &out, &errs)
		if want := versionLine() + "\n"; code != exitOK || out.String() != want || errs.Len() > 0 {
			t.Errorf("%v exits with %d, prints %q and %q, want %q", args, code, out.String(), errs.String(), want)
		}
	}
}

func TestNoCommandPrintsTheHelp(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if code := execute(t.Context(), []string{}, strings.NewReader(""), &out, &errs); code != exitOK || !strings.Contains(out.String(), "Available Commands:") {
		t.Errorf("exits with %d and prints %q, want the help", code, out.String())
	}
}

func TestAnUnknownCommandNamesTheNearest(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"cnfig":     `dispatchd: unknown command "cnfig", did you mean "config"?`,
		"pineapple": `dispatchd: unknown command "pineapple"`,
	} {
		var out, errs bytes.Buffer
		code := execute(t.Context(), []string{word}, strings.NewReader(""), &out, &errs)
		if code != exitUsage || errs.String() != want+"\n" || out.Len() > 0 {
			t.Errorf("%s exits with %d, prints %q and %q, want %q", word, code, out.String(), errs.String(), want)
		}
	}
}
