package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestConfigWarns is not parallel: it sets variables.
func TestConfigWarns(t *testing.T) {
	t.Setenv("DISPATCHD_SLOT", "3")
	for _, output := range []string{"text", "json"} {
		var out, errs bytes.Buffer
		code := execute(t.Context(), []string{"config", "-o", output}, strings.NewReader(""), &out, &errs)
		if code != exitOK || !strings.Contains(errs.String(), "warning: DISPATCHD_SLOT is not a setting of dispatchd and is ignored; did you mean DISPATCHD_SLOTS?") {
			t.Errorf("%s exits with %d and says %q, want the warning", output, code, errs.String())
		}
	}
}
