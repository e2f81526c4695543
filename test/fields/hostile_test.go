package fields_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/test/fields"
)

// marker is the harmless text in whose place a hostile one is put.
const marker = "zqzq"

// hostile are texts that mean something to JSON, HCL, a pack's templates,
// consul-template, Nomad's client, a shell or a terminal.
var hostile = []string{
	`"`, `'`, `\`, "`", "\n", "\r\n", "\t", `" }`, "\"\n}\njob \"evil\" {\n}\n", "\nEOT\n", "\n        EOT\n}\n", "<<EOT", "<<-EOT",
	`${env("HOME")}`, `$${x}`, `$$${x}`, `%{ if true }x%{ endif }`, `%%{x}`, `${`, `%{`, `${attr.unique.hostname}`, `${NOMAD_ALLOC_ID}`, `${NOMAD_SECRETS_DIR}`,
	`[[ env "HOME" ]]`, `[[`, `]]`, `{{ key "x" }}`, `{{ env "HOME" }}`, `{{`, `}}`, `" }}{{ key "x" }}{{ "`,
	"#", "/* */", "$(id)", "; id", "../../etc/passwd", "a b", "é", "\u2028", "\U0001f600", "<no value>", "\x1b[31m", "\u202e",
}

// TestHostileTexts puts each text into each param that holds one: the files
// are those of a harmless text but for the text itself, or it is refused.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	texts := textsOf(t)
	for _, f := range fields.All() {
		if !slices.Contains(texts, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			harmless, err := render(t.Context(), withText(t, f, marker))
			// One text that is refused hides the others: then each stands alone.
			if carries(t, f, harmless, err, strings.Join(hostile, "")) || err != nil {
				return
			}
			for _, text := range hostile {
				carries(t, f, harmless, err, text)
			}
		})
	}
}

// carries checks one text and reports whether it was taken. Its ends are plain:
// what begins or ends a path or a name means something.
func carries(t *testing.T, f fields.Field, harmless files, harmlessErr error, text string) bool {
	t.Helper()
	text = "z" + text + "z"
	got, err := render(t.Context(), withText(t, f, text))
	switch {
	case err != nil:
		wantRefusal(t, err)
		return false
	case harmlessErr != nil:
		t.Errorf("%q is taken, where %q is refused: %v", text, marker, harmlessErr)
	default:
		harmless.wantSameBut(t, got, text)
	}
	return true
}

// textsOf lists the params that hold a text or texts.
func textsOf(t *testing.T) []string {
	t.Helper()
	var found []string
	for name, kind := range leafTypes(reflect.TypeFor[tasks.Deploy](), "") {
		for kind.Kind() == reflect.Slice || kind.Kind() == reflect.Map {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.String || kind == reflect.TypeFor[tasks.Text]() {
			found = append(found, name)
		}
	}
	if len(found) < 70 {
		t.Fatalf("%d params hold texts: the test looks at too few", len(found))
	}
	return found
}

// withText is the field's task with the text as its value: in a list or map as
// the first.
func withText(t *testing.T, f fields.Field, text string) []byte {
	t.Helper()
	body, err := f.Task()
	if err != nil {
		t.Fatal(err)
	}
	var task map[string]any
	if err := json.Unmarshal(body, &task); err != nil {
		t.Fatal(err)
	}
	at := any(task["params"])
	path := strings.Split(f.Name, ".")
	for _, name := range path[:len(path)-1] {
		at = at.(map[string]any)[strings.TrimSuffix(name, "[]")]
		if strings.HasSuffix(name, "[]") {
			at = at.([]any)[0]
		}
	}
	last := path[len(path)-1]
	switch old := at.(map[string]any)[last].(type) {
	case []any:
		old[0] = text
	case map[string]any:
		for key := range old {
			old[key] = text
		}
	default:
		at.(map[string]any)[last] = text
	}
	body, err = json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// wantRefusal: a text that cannot be carried is the sender's fault, in words.
func wantRefusal(t *testing.T, err error) {
	t.Helper()
	var failure *tasks.Failure
	known := []tasks.Reason{tasks.ReasonInvalidTask, tasks.ReasonConfigInvalid, tasks.ReasonRenderFailed, tasks.ReasonUnsupported}
	if !errors.As(err, &failure) || !slices.Contains(known, failure.Reason) || failure.Message == "" {
		t.Errorf("refused with %v, want a failure of the task's with a message", err)
	}
}

func (f files) wantSameBut(t *testing.T, got files, text string) {
	t.Helper()
	for _, c := range []struct{ name, harmless, got string }{
		{"cloudstation.hcl", f.project, got.project}, {"vars.hcl", f.variables, got.variables}, {"the job", f.job, got.job},
	} {
		want := read(t, c.harmless)
		for i := range want {
			want[i].value = strings.ReplaceAll(want[i].value, marker, text)
		}
		if diff := cmp.Diff(want, read(t, c.got), cmp.AllowUnexported(place{})); diff != "" {
			t.Errorf("%q changes more of %s than its own value (-want +got):\n%s", text, c.name, diff)
		}
	}
}
