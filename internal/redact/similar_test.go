package redact_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// similar is a secret of many lines that begin alike, as a list of ids does.
func similar(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "AAAA%06d\n", i)
	}
	return b.String()
}

// The limit is far above what it takes, and far below what comparing every
// pattern with every other one did: minutes.
func TestManySimilarLinesAreHiddenInTime(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r := redact.New()
	r.Add(similar(20_000))
	if got := r.String("id AAAA019999, AAAA01999 and " + strings.Repeat("A", 64<<10)); !strings.HasPrefix(got, "id ***, AAAA01999 and AAAA") {
		t.Errorf("shown: %.60s", got)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestTheLongestOfSecretsThatBeginAlikeIsHidden(t *testing.T) {
	t.Parallel()
	r := redact.New("abcd", "abcdef", "abcdefgh", "abcdzz", "abc!")
	for text, want := range map[string]string{
		"abcdefgh": "***", "abcdefgi": "***gi", "abcde": "***e", "abcdzy": "***zy", "abcdzz": "***", "abc": "abc", "abcc": "abcc", "abc!d": "***d",
	} {
		if got := r.String(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
