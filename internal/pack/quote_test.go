package pack_test

import (
	"strings"
	"testing"
	"unicode"
)

// A job is printed on terminals, so what would steer one stands in it as an escape.
func TestAJobHoldsPrintableTextAlone(t *testing.T) {
	t.Parallel()
	job := render(t, "job_name = \"web\"\nalloc_id = \"d\"\nimage = \"i\"\ncommand = \"a\\u009b2Jb\\u202ec\\U000e0001d größe\"\n")
	for _, r := range job {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("the job holds %q", r)
		}
	}
	if want := `"a\u009b2Jb\u202ec\U000e0001d größe"`; !strings.Contains(job, want) {
		t.Errorf("the job does not hold %s:\n%s", want, job)
	}
}
