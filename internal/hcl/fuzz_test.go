package hcl_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// placeholder is the benign text of a string, which a hostile one replaces.
func placeholder(index int) string { return fmt.Sprintf("benign-%d-", index) }

// closed are the strings that must be one of a few: TestProjectRefuses has them.
var closed = regexp.MustCompile(`^plan\.(Builder|Deploy\.Deployer)$`)

// interpreted are the fields whose text has a meaning for us, and meanings the
// places in the file that it may decide. There only the shape is compared.
var (
	interpreted = regexp.MustCompile(`\.(RestartMode|JobConfig\.Type|PortType|HealthCheck\.(Type|Interval|Timeout)|CSIVolume\[0\]\.ID)$`)
	meanings    = regexp.MustCompile(`^/(restart_|job_config|network|volume_name)`)
)

// FuzzProject puts one hostile text into one string of a plan: nothing but the
// values that hold this string may change in cloudstation.hcl.
func FuzzProject(f *testing.F) {
	fuzz(f, func(s *subject) ([]byte, error) { return hcl.Generator{}.Project(s.plan) })
}

// FuzzVariables does the same for vars.hcl.
func FuzzVariables(f *testing.F) {
	fuzz(f, func(s *subject) ([]byte, error) { return hcl.Generator{}.Variables(s.plan, s.image) })
}

// maker makes one of the two files.
type maker func(*subject) ([]byte, error)

// fuzz gives each strange text to one string, each string one of them, and
// then whatever the fuzzer thinks of.
func fuzz(f *testing.F, file maker) {
	texts, slots := strange(), everything(f).slots()
	for i := range max(len(texts), len(slots)) {
		f.Add(uint(i), texts[i%len(texts)])
	}
	_, text, err := with(f, -1, "", file)
	if err != nil {
		f.Fatal(err)
	}
	benign := leaves(f, text)
	f.Fuzz(func(t *testing.T, index uint, hostile string) {
		if strings.TrimSpace(hostile) != "" { // an empty text is an absent one
			attack(t, int(index%uint(len(slots))), hostile, benign, file)
		}
	})
}

// attack compares the file in which one string is hostile with the benign one.
func attack(t *testing.T, index int, hostile string, benign map[string]string, file maker) {
	name, attacked, err := with(t, index, hostile, file)
	if closed.MatchString(name) {
		return
	}
	want := map[string]string{}
	for place, leaf := range benign {
		want[place] = strings.ReplaceAll(leaf, placeholder(index), hostile)
	}
	if err != nil {
		checkFailure(t, name, err, want)
		return
	}
	got := leaves(t, attacked)
	if len(got) != len(want) {
		t.Fatalf("%s = %q changes the shape:\n%s", name, hostile, attacked)
	}
	for place, leaf := range want {
		found, ok := got[place]
		if !ok {
			t.Fatalf("%s = %q: %s is missing:\n%s", name, hostile, place, attacked)
		}
		ours := interpreted.MatchString(name) && meanings.MatchString(place)
		if found != leaf && !ours {
			t.Errorf("%s = %q: %s = %q, want %q", name, hostile, place, found, leaf)
		}
	}
}

// with makes the file of a task whose every string is its placeholder, but for
// the one with the index, and returns that string's name.
func with(t testing.TB, index int, text string, file maker) (string, []byte, error) {
	t.Helper()
	s := everything(t)
	var name string
	for i, slot := range s.slots() {
		switch {
		case i == index:
			name = slot.name
			slot.set(text)
		case !closed.MatchString(slot.name):
			slot.set(placeholder(i))
		}
	}
	out, err := file(s)
	return name, out, err
}

// checkFailure holds a refusal to its rules: it is clean, and there is a reason
// for it in what the file would have held.
func checkFailure(t *testing.T, name string, err error, want map[string]string) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) || failure.Reason != tasks.ReasonConfigInvalid {
		t.Fatalf("%s: %v is no config_invalid", name, err)
	}
	if !utf8.ValidString(failure.Message) || strings.ContainsAny(failure.Message, "\n\r\x00") {
		t.Errorf("%s: the message is not one plain line: %q", name, failure.Message)
	}
	for _, leaf := range want {
		if !utf8.ValidString(leaf) || cty.NormalizeString(leaf) != leaf {
			return
		}
	}
	t.Errorf("%s is refused without a reason: %v", name, err)
}

// FuzzParseProject reads any text: it never panics, refuses cleanly, and what
// it accepts can be deployed.
func FuzzParseProject(f *testing.F) {
	for _, golden := range goldens {
		text, err := filepath.Abs(filepath.Join("testdata", golden.name, "cloudstation.hcl"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(readFile(f, text))
	}
	for _, c := range refused {
		f.Add([]byte(c.edit(sample)))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		p, err := hcl.Generator{}.ParseProject(source)
		if err != nil {
			var failure *tasks.Failure
			if !errors.As(err, &failure) || failure.Reason != tasks.ReasonConfigInvalid || strings.Contains(failure.Message, "\n") {
				t.Fatalf("%q is no clean failure", err)
			}
			return
		}
		if p.Name == "" || p.Build.Use == "" || p.Deploy.Use == "" || p.Deploy.DeploymentName == "" {
			t.Errorf("accepted, but incomplete: %+v", p)
		}
	})
}
