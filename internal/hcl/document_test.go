package hcl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestReadProjectNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	text := sample
	for _, edit := range []func(string) string{
		replace(`"csdocker"`, `"csdoker"`), replace(`name = "web"`, `nme = "web"`), replace(`registry {`, `registr {`),
		replace(`var.user`, `var.usr`), replace(`nomad_token     = var.usr`, `nomad_token = "hunter2"`),
	} {
		text = edit(text)
	}
	doc := hcl.Generator{}.ReadProject("web/cloudstation.hcl", []byte(text))
	var got []string
	for _, p := range doc.Problems {
		got = append(got, p.String())
	}
	want := []string{
		`web/cloudstation.hcl:4:9: Missing required argument: The argument "name" is required, but no definition was found`,
		`web/cloudstation.hcl:5:12: unknown builder "csdoker": must be one of csdocker, nixpacks, railpack, noop, did you mean "csdocker"?`,
		`web/cloudstation.hcl:6:5: Unsupported argument: An argument named "nme" is not expected here. Did you mean "name"?`,
		`web/cloudstation.hcl:8:3: Unsupported block type: Blocks of type "registr" are not expected here. Did you mean "registry"?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestReadProjectNamesTheNearestVariable(t *testing.T) {
	t.Parallel()
	doc := hcl.Generator{}.ReadProject("c.hcl", []byte(replace("username = var.user", "username = var.usr")(sample)))
	if got, want := doc.Problems.Error(), `c.hcl:11:16: variable "usr" is not declared, did you mean "user"?`; got != want {
		t.Errorf("problems: %s, want %s", got, want)
	}
}

func TestReadProjectJudgesValuesAtTheirPlace(t *testing.T) {
	t.Parallel()
	text := replace(`image    = "registry.test/web"`, `image    = "registry.test/Web"`)(sample)
	text = replace(`use  = "csdocker"`, "use  = \"csdocker\"\n    context = \"../..\"")(text)
	doc := hcl.Generator{}.ReadProject("c.hcl", []byte(text))
	want := `c.hcl:6:15: build.context "../.." must not hold ".."; ` +
		`c.hcl:11:16: registry.image "registry.test/Web" must be an image's name in lower case without tag and digest`
	if got := doc.Problems.Error(); got != want {
		t.Errorf("problems: %s, want %s", got, want)
	}
	if got, want := doc.Problem("build.use", "x").String(), "c.hcl:5:12: x"; got != want {
		t.Errorf("a problem of a value is at %s, want %s", got, want)
	}
	if got, want := doc.Problem("build.start_cmd", "x").String(), "c.hcl: x"; got != want {
		t.Errorf("a problem of what is not there is at %s, want %s", got, want)
	}
}

func TestReadProjectOfAGoodFile(t *testing.T) {
	t.Parallel()
	doc := hcl.Generator{}.ReadProject("c.hcl", []byte(sample))
	if len(doc.Problems) > 0 {
		t.Fatal(doc.Problems)
	}
	parsed, err := hcl.Generator{}.ParseProject([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parsed, doc.Project); diff != "" {
		t.Errorf("ReadProject and ParseProject differ:\n%s", diff)
	}
	if env := doc.Project.Secrets.RegistryPassword.Env; len(env) != 1 || env[0] != "REGISTRY_USERNAME" {
		t.Errorf("the password's environment is %q, want that of its variable", env)
	}
}

// written makes a plan with the files that a person wrote.
func written(t *testing.T, texts ...string) (*subject, error) {
	t.Helper()
	s := minimal()
	for i, text := range texts {
		s.plan.VariableFiles = append(s.plan.VariableFiles, tasks.VariableFile{Name: string(rune('a'+i)) + ".hcl", Text: []byte(text)})
	}
	_, err := hcl.Generator{}.Variables(s.plan, s.image)
	return s, err
}

func TestWrittenVariablesWinOverDerivedOnes(t *testing.T) {
	t.Parallel()
	s, err := written(t, "count = 3\nextra = [1, { a = \"b\" }]\njob_name = \"evil\"\nimage = \"evil\"\nregions = null\n", "count = 5\nuser = \"a$${b}\\n[[ c ]]\"\n")
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, variables(t, s.plan, s.image))
	derived := read(t, variables(t, minimal().plan, s.image))
	for name, want := range map[string]string{
		"count": "5", "extra": `[1,{"a":"b"}]`, "regions": "null", "user": `"a${b}\n[[ c ]]"`,
		"job_name": derived["job_name"], "image": derived["image"], "service_id": derived["service_id"],
	} {
		if got[name] != want {
			t.Errorf("%s = %s, want %s", name, got[name], want)
		}
	}
}

func TestWrittenVariablesThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"count = ":              "a.hcl:1:9: Missing expression",
		"count = 1\ncount = 2":  "a.hcl:2:1: Attribute redefined",
		"x = var.count":         "a.hcl:1:5: x must be a plain value",
		"x = [1e99999]":         "a.hcl:1:5: x holds a number that is too large",
		"x = upper(\"a\")":      "a.hcl:1:5: x must be a plain value",
		"block {\n}":            "a.hcl:1:1: Unexpected \"block\" block",
		"x = \"e\u0301\"":       "a.hcl:1:1: the file is not in Unicode's normal form NFC",
		"x = \"\xff\"":          "a.hcl:1:",
		"x = 1\ny = z\nw = q.r": "a.hcl:2:5: y must be a plain value",
	} {
		_, err := written(t, text)
		if got := failureMessage(t, err); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want it to contain %q", text, got, want)
		}
	}
	_, problems := hcl.Generator{}.ReadVariables(tasks.VariableFile{Name: "a.hcl", Text: []byte("y = z\nw = q.r\n")})
	if len(problems) != 2 || problems[1].Line != 2 {
		t.Errorf("problems: %v, want both", problems)
	}
}

func TestTheStarterIsWhatItSays(t *testing.T) {
	t.Parallel()
	for _, builder := range []string{tasks.BuilderDocker, tasks.BuilderNixpacks, tasks.BuilderNoop} {
		for _, ports := range [][]tasks.Port{nil, tcpPorts(8080, 9090)} {
			text, err := hcl.Generator{}.Starter(builder, ports)
			if err != nil {
				t.Fatal(err)
			}
			values := read(t, text)
			if got := strings.Count(values["network"], `"health_check"`); got != len(ports) || values["count"] != "1" {
				t.Errorf("%s with %v gives\n%s", builder, ports, text)
			}
			if lines := strings.Count(string(text), "8000 where it exposes none"); (lines == 1) != (builder == tasks.BuilderDocker) {
				t.Errorf("%s: the default port is not told:\n%s", builder, text)
			}
		}
	}
}

// FuzzWrittenVariables: whatever a person writes is refused cleanly, or the
// file that is made of it can be read, and what is ours stays ours.
func FuzzWrittenVariables(f *testing.F) {
	for _, text := range []string{"count = 3", "job_name = \"x\"", "image = null", "a = {\n b = [\"${\"]\n}", "x = <<EOT\n$${a}\nEOT\n", "x = 1e999", "\"x\" = 1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := minimal()
		s.plan.VariableFiles = []tasks.VariableFile{{Name: "a.hcl", Text: text}}
		made, err := hcl.Generator{}.Variables(s.plan, s.image)
		if err != nil {
			var failure *tasks.Failure
			if !errors.As(err, &failure) || failure.Reason != tasks.ReasonConfigInvalid {
				t.Fatalf("%v is no config_invalid", err)
			}
			return
		}
		got := leaves(t, made)
		want := leaves(t, variables(t, minimal().plan, s.image))
		for _, name := range []string{"/job_name", "/image"} {
			if got[name] != want[name] {
				t.Errorf("%q changes %s to %q", text, name, got[name])
			}
		}
	})
}
