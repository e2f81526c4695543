package pack_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestRenderRefusesOtherPacks(t *testing.T) {
	t.Parallel()
	r := cloudstation()
	req := request("")
	req.Deploy = tasks.ProjectDeploy{Pack: "acme", RegistryName: "acme-registry"}
	_, err := r.Render(t.Context(), req)
	wantFailure(t, err, tasks.ReasonUnsupported, `"acme"`, `"acme-registry"`, "only embedded packs are rendered here")

	for _, name := range []string{"acme", "..", "cloudstation/templates", "/etc"} {
		req.Deploy = tasks.ProjectDeploy{Pack: name, UseEmbedded: true}
		_, err = r.Render(t.Context(), req)
		wantFailure(t, err, tasks.ReasonUnsupported, "does not embed")
	}
}

func TestRenderOfNoNamedPackIsTheDefault(t *testing.T) {
	t.Parallel()
	req := request("job_name = \"web\"\nalloc_id = \"d\"\nimage = \"i\"\n")
	req.Deploy.Pack = ""
	if _, err := cloudstation().Render(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	job, err := pack.New(files("", `job "other" {}`), pack.Options{DefaultPack: "p"}).Render(t.Context(), tasks.RenderRequest{
		Deploy: tasks.ProjectDeploy{UseEmbedded: true},
	})
	if got, want := string(job), "job \"other\" {}\n"; err != nil || got != want {
		t.Errorf("Render = %q, %v, want %q", got, err, want)
	}
}

func TestRenderEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := contextWithCause(t)
	cancel(tasks.ErrCancelled)
	if _, err := cloudstation().Render(ctx, request("")); !errors.Is(err, tasks.ErrCancelled) {
		t.Errorf("Render = %v, want the context's cause", err)
	}
}

const typed = `
variable "name" {
  description = "the name"
  type        = string
}
variable "count" {
  type    = number
  default = 1
}
variable "port" {
  type = list(object({
    number = number
    kind   = optional(string, "tcp")
  }))
  default = []
}
`

func TestRenderChecksVariables(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		vars string
		want []string
	}{
		"missing":            {"count = 2", []string{"missing required variable", `"name"`, "the name"}},
		"null is missing":    {"name = null", []string{"missing required variable", `"name"`}},
		"unknown":            {"name = \"a\"\n\ncoutn = 2", []string{"vars.hcl:3", `"coutn"`, `did you mean "count"?`}},
		"unknown, none near": {"name = \"a\"\nzebra = 2", []string{"vars.hcl:2", `"zebra"`}},
		"wrong type":         {"name = \"a\"\ncount = \"many\"", []string{"vars.hcl:2", "variable count", "number is required"}},
		"wrong type inside":  {"name = \"a\"\nport = [{ number = 1 }, { number = \"x\" }]", []string{"vars.hcl:2", "port[1].number", "number is required"}},
		"attribute missing":  {"name = \"a\"\nport = [{ kind = \"udp\" }]", []string{"vars.hcl:2", "variable port", "element 0", `"number" is required`}},
		"attribute unknown":  {"name = \"a\"\nport = [{ number = 1, knid = \"udp\" }]", []string{"vars.hcl:2", "port[0]", `"knid"`, `did you mean "kind"?`}},
		"twice":              {"name = \"a\"\nname = \"b\"", []string{"vars.hcl:2", "name"}},
		"a block":            {"name \"a\" {\n}", []string{"vars.hcl:1"}},
		"no HCL":             {"name = \"a", []string{"vars.hcl:1"}},
		"a function":         {"name = env(\"HOME\")", []string{"vars.hcl:1", "variable name"}},
		"not normal form C":  {"name = \"e\u0301\"", []string{"normal form C"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderFiles(t, files(typed, `job "x" {}`), c.vars)
			wantFailure(t, err, tasks.ReasonRenderFailed, append(c.want, "render pack p")...)
		})
	}
}

func TestRenderConvertsVariables(t *testing.T) {
	t.Parallel()
	template := `job [[ var "name" . | hcl ]] {
  count = [[ var "count" . | hcl ]]
  half  = [[ divf (var "count" .) 2 ]]
  ports = [[ range var "port" . ]]"[[ .number ]]/[[ .kind ]]"[[ end ]]
  first = [[ toStringList (list "a" "$${b}") ]]
  meta  = "[[ meta "pack.name" . ]] [[ must_meta "pack.version" . ]] [[ len (vars .) ]]"
}`
	got, err := renderFiles(t, files(typed, template), "name = 12\ncount = \"3\"\nport = [{ number = \"80\" }]")
	want := `job "12" {
  count = 3
  half  = 1.5
  ports = "80/tcp"
  first = ["a", "$$${b}"]
  meta  = "p 1.2.3 3"
}
`
	if err != nil || got != want {
		t.Errorf("Render = %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestRenderTellsDeclaredFacts(t *testing.T) {
	t.Parallel()
	declared := "variable \"force_pull\" { type = bool }\nvariable \"vault_by_role\" { type = bool }\nvariable \"service_provider\" { type = string }\n"
	template := `job "x" { a = [[ list (var "force_pull" .) (var "vault_by_role" .) (var "service_provider" .) | hcl ]] }`
	job, err := pack.New(files(declared, template), pack.Options{}).Render(t.Context(), tasks.RenderRequest{
		Deploy:    tasks.ProjectDeploy{Pack: "p", UseEmbedded: true},
		ForcePull: true, ServiceProvider: "consul",
	})
	if want := `[true, false, "consul"]`; err != nil || !strings.Contains(string(job), want) {
		t.Errorf("Render = %q, %v, want it to hold %s", job, err, want)
	}
	if _, err := renderFiles(t, files("", `job "x" {}`), ""); err != nil {
		t.Errorf("a pack that declares none: %v", err)
	}
}

func TestRenderNamesWhatIsWrongInAPack(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		template string
		want     []string
	}{
		"no such variable":   {"\n\njob [[ var \"namee\" . | hcl ]] {}", []string{"p/templates/p.nomad.tpl:3", `"namee"`, `did you mean "name"?`}},
		"no such part":       {`[[ var "name.first" . ]]`, []string{"p.nomad.tpl:1", "no parts"}},
		"no such field":      {`[[ range var "port" . ]][[ .nope ]][[ end ]]`, []string{"p.nomad.tpl:1", "nope"}},
		"no such metadata":   {`[[ meta "pack.nam" . ]]`, []string{"p.nomad.tpl:1", `did you mean "name"?`}},
		"no such function":   {"\n[[ nope ]]", []string{"p.nomad.tpl:2", `"nope" not defined`}},
		"broken template":    {"\n[[ if ]]", []string{"p.nomad.tpl:2"}},
		"forbidden function": {"\n[[ env \"HOME\" ]]", []string{"p.nomad.tpl:2", "env is not available"}},
		"its own refusal":    {`[[ fail "no room" ]]`, []string{"render pack p: no room"}},
		"two jobs":           {"job \"a\" {}\njob \"b\" {}", []string{"one job block is expected"}},
		"another block":      {"locals {}\njob \"b\" {}", []string{"one job block is expected"}},
		"an attribute":       {"a = 1\njob \"b\" {}", []string{"one job block is expected"}},
		"no name":            {"job {}", []string{"a job block with one name"}},
		"no job":             {"task \"a\" {}", []string{"a job block with one name"}},
		"empty":              {" \n[[- /* nothing */ -]]\n", []string{"give no job"}},
		"no HCL":             {"job \"a\" {\n", []string{"p.nomad.tpl (rendered):"}},
		"a reference":        {"job \"a\" {\n  b = \"${attr.x}\"\n}", []string{"rendered):2", "constant"}},
		"a call":             {"job \"a\" {\n  b = file(\"/etc/passwd\")\n}", []string{"rendered):2", "constant"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderFiles(t, files(typed, c.template), "name = \"a\"\nport = [{ number = 1 }]")
			wantFailure(t, err, tasks.ReasonRenderFailed, c.want...)
		})
	}
}

func TestRenderChecksThePacksFiles(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		file, text string
		want       string
	}{
		"no metadata":        {"p/metadata.hcl", "", "no metadata.hcl"},
		"no variables":       {"p/variables.hcl", "", "no variables.hcl"},
		"no job template":    {"p/templates/p.nomad.tpl", "", "no templates/*.nomad.tpl"},
		"incomplete":         {"p/metadata.hcl", "app {\n  url = \"x\"\n}\n", "p/metadata.hcl:"},
		"a dependency":       {"p/metadata.hcl", "app {\n  url = \"x\"\n}\npack {\n  name = \"p\"\n  version = \"1\"\n}\ndependency \"kid\" {}\n", `"kid"`},
		"unknown type":       {"p/variables.hcl", "variable \"a\" {\n  type = strnig\n}\n", "p/variables.hcl:2"},
		"default of type":    {"p/variables.hcl", "variable \"a\" {\n  type = number\n  default = \"x\"\n}\n", "p/variables.hcl:3"},
		"declared twice":     {"p/variables.hcl", "variable \"a\" {}\nvariable \"a\" {}\n", "declared twice"},
		"defined twice":      {"p/templates/_a.tpl", `[[ define "x" ]]a[[ end ]]`, "is defined in"},
		"jobs in two files":  {"p/templates/q.nomad.tpl", `job "q" {}`, "gives 2 jobs"},
		"unknown in a block": {"p/variables.hcl", "variable \"a\" {\n  sensitive = true\n}\n", "p/variables.hcl:2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := files("", "job \"p\" {}\n[[ define \"x\" ]]b[[ end ]]").(fstest.MapFS)
			if delete(p, c.file); c.text != "" {
				p[c.file] = &fstest.MapFile{Data: []byte(c.text)}
			}
			_, err := renderFiles(t, p, "")
			wantFailure(t, err, tasks.ReasonRenderFailed, c.want)
		})
	}
}

func TestRenderIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	template := `job "x" {
  a = [[ dict "c" 1 "a" 2 "b" 3 "e" 4 "d" 5 | keys | hcl ]]
  b = [[ dict "c" 1 "a" 2 "b" 3 "e" 4 "d" 5 | values | hcl ]]
  c = [[ dict "c" 1 "a" 2 "b" 3 "e" 4 "d" 5 | hcl ]]
}`
	first, err := renderFiles(t, files("", template), "")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := renderFiles(t, files("", template), ""); err != nil || again != first {
			t.Fatalf("Render = %v\n%s\nwant\n%s", err, again, first)
		}
	}
}

func TestRenderWithoutForbiddenFunctions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"expandenv", "getHostByName", "fileContents", "fileRelative", "packPath", "tpl", "deps", "now", "date", "ago",
		"uuidv4", "randAlphaNum", "randInt", "shuffle", "genPrivateKey", "genCA", "encryptAES", "bcrypt", "htpasswd", "spewDump", "nomadRegions",
	} {
		_, err := renderFiles(t, files("", "[[ "+name+" \"x\" ]]"), "")
		wantFailure(t, err, tasks.ReasonRenderFailed, name+" is not available")
	}
}

func TestEmbeddedPackDeclaresEveryFact(t *testing.T) {
	t.Parallel()
	vars := "job_name = \"web\"\nalloc_id = \"d\"\nimage = \"i\"\nproject_id = \"p\"\nuses_kv_engine = true\nservice_id = \"s\"\nnetwork = [{ port = 1 }]\n"
	req := request(vars)
	req.ForcePull, req.VaultByRole, req.ServiceProvider = true, true, "consul"
	job, err := cloudstation().Render(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"force_pull = true", `role        = "p"`, `provider    = "consul"`} {
		if !strings.Contains(string(job), want) {
			t.Errorf("the job lacks %s:\n%s", want, job)
		}
	}
}

// The texts of internal/hcl's tests are what tasks become: the pack must
// declare each of their variables with a type that fits.
func TestEmbeddedPackTakesWhatTasksBecome(t *testing.T) {
	t.Parallel()
	written, err := filepath.Glob("../hcl/testdata/*/vars.hcl")
	if err != nil || len(written) == 0 {
		t.Fatalf("no vars.hcl beside this package: %v", err)
	}
	for _, file := range written {
		vars, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cloudstation().Render(t.Context(), request(string(vars)))
		// A sentence about the values themselves is fine: some of them are hostile.
		if err != nil && (strings.Contains(err.Error(), "vars.hcl:") || strings.Contains(err.Error(), "variable")) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
