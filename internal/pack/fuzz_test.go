package pack_test

import (
	"encoding/base64"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// marker is the harmless text in whose place a hostile one is put.
const marker = "zqzq"

// harmless returns the marker as the place takes it.
func harmless(place string) string {
	if strings.Contains(place, "pka_path = %s") {
		return marker + "/" + marker
	}
	return marker
}

// places are the strings of vars.hcl, each written with %s where its text goes.
// network.type, the check types and job_config.type are enumerations of the
// pack and stand in TestRenderGoldens.
var places = []string{
	`job_name = %s`,
	`alloc_id = %s`,
	`image = %s`,
	`user_id = %s`,
	`project_id = %s`,
	`service_id = %s`,
	`node_pool = %s`,
	`regions = %s`,
	`user = %s`,
	`command = %s`,
	`args = [%s]`,
	`entrypoint = [%s]`,
	`restart_mode = %s`,
	`volume_name = %s`,
	`volume_mount_destination = [%s]`,
	`cluster_domain = %s`,
	`consul_service_name = %s`,
	`secret_path = %s`,
	`shared_secret_path = %s`,
	`private_registry = %s`,
	`private_registry_provider = %s`,
	`consul_linked_services = [{key = %s, value = "db"}]`,
	`consul_linked_services = [{key = "DB", value = %s}]`,
	`vault_linked_secrets = [{prefix = %s, secret_path = "db"}]`,
	`vault_linked_secrets = [{prefix = "DB_", secret_path = %s}]`,
	`config_files = [{path = %s, content = "YQ=="}]`,
	`config_files = [{path = "a", content = %s}]`,
	`template = [{name = %s, pattern = "{{ $U }}", service_secret_path = "db", linked_vars = ["U"]}]`,
	`template = [{name = "X", pattern = %s}]`,
	`template = [{name = "X", pattern = "{{ .Port }}", service_name = %s}]`,
	`template = [{name = "X", pattern = "{{ $U }}", service_secret_path = %s, linked_vars = ["U"]}]`,
	`template = [{name = "X", pattern = "x", linked_vars = [%s]}]`,
	`tls = [{cert_path = %s, key_path = "k", common_name = "a.test", pka_path = "pki/issue/x", ttl = "3h"}]`,
	`tls = [{cert_path = "c", key_path = %s, common_name = "a.test", pka_path = "pki/issue/x", ttl = "3h"}]`,
	`tls = [{cert_path = "c", key_path = "k", common_name = %s, pka_path = "pki/issue/x", ttl = "3h"}]`,
	`tls = [{cert_path = "c", key_path = "k", common_name = "a.test", pka_path = %s, ttl = "3h"}]`,
	`tls = [{cert_path = "c", key_path = "k", common_name = "a.test", pka_path = "pki/issue/x", ttl = %s}]`,
	`network = [{port = 1, public = true, domain = %s, custom_domain = "c.test"}]`,
	`network = [{port = 1, public = true, domain = "d", custom_domain = %s}]`,
	`network = [{port = 1, health_check = {type = "http", path = %s}}]`,
	`job_config = {type = "batch", cron = %s}`,
	`job_config = {type = "batch", payload = "optional", meta_required = [%s]}`,
	`job_config = {type = "batch", payload = %s, meta_required = ["A"]}`,
}

// surroundings are the values of the variables that a case does not set.
var surroundings = []string{
	`job_name = "web"`,
	`alloc_id = "dep-1"`,
	`image = "acme/web:1"`,
	`project_id = "prj-1"`,
	`service_id = "svc-1"`,
	`consul_service_name = "web-1"`,
	`cluster_domain = "apps.test"`,
	`uses_kv_engine = true`,
	`use_csi_volume = true`,
	`volume_name = "vol"`,
	`use_tls = true`,
	`private_registry = "reg"`,
	`private_registry_provider = "ecr"`,
	`tls = [{cert_path = "c", key_path = "k", common_name = "a.test", pka_path = "pki/issue/x", ttl = "3h"}]`,
	`network = [{port = 1, public = true, domain = "d", custom_domain = "c.test"}]`,
}

var hostile = []string{
	`"`, `\`, "\n", "\r\n", "\t", "\x00", "\x7f", `" }`, "\"\n}\njob \"evil\" {\n}\n", "EOT\n", "\n        EOT\n", "\n\n        EOT\n}\n",
	`${env("HOME")}`, `$${x}`, `$$${x}`, `%{ if true }x%{ endif }`, `%%{x}`, `${`, `%{`, `${attr.unique.hostname}`, `${NOMAD_ALLOC_ID}`,
	`[[ env "HOME" ]]`, `[[`, `]]`, `{{ key "x" }}`, `{{ env "HOME" }}`, `{{`, `}}`, `{{ end }}`, `" }}{{ key "x" }}{{ "`,
	"`", `'`, `#`, `//`, `/* */`, `<<EOT`, `-x`, `../../etc/passwd`, `a b`, `a/b`, "é", "e\u0301", "\u2028", "\ufeff", "😀", `<no value>`, "a\r$${x}",
}

func TestRenderKeepsHostileTexts(t *testing.T) {
	t.Parallel()
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			want := flatten(t, render(t, varsWith(place, harmless(place))))
			for chunk := range slices.Chunk(hostile, 6) {
				checkPlace(t, place, strings.Join(chunk, ""), want)
			}
		})
	}
}

func FuzzRender(f *testing.F) {
	for i := range places {
		f.Add(uint8(i), hostile[i%len(hostile)])
	}
	f.Fuzz(func(t *testing.T, at uint8, text string) {
		place := places[int(at)%len(places)]
		checkPlace(t, place, text, flatten(t, render(t, varsWith(place, harmless(place)))))
	})
}

// checkPlace renders the job with the text. It must be what the harmless job is
// but for the text itself, or the text is refused.
func checkPlace(t *testing.T, place, text string, harmlessJob []string) {
	t.Helper()
	text = cty.NormalizeString(text)
	if meansMore(place, text) {
		return
	}
	job, err := cloudstation().Render(t.Context(), request(varsWith(place, text)))
	if err != nil {
		wantFailure(t, err, tasks.ReasonRenderFailed)
		return
	}
	want := make([]string, len(harmlessJob))
	for i, line := range harmlessJob {
		want[i] = strings.ReplaceAll(line, harmless(place), text)
	}
	if diff := cmp.Diff(want, flatten(t, string(job))); diff != "" {
		t.Errorf("%s with %q changes more than its own value (-want +got):\n%s", place, text, diff)
	}
}

// meansMore reports whether the pack does more with the text than to carry it:
// an empty one is none, and some words and paths have a meaning.
func meansMore(place, text string) bool {
	if !utf8.ValidString(text) || text == "" || strings.Contains(text, marker) {
		return true
	}
	isPath := strings.Contains(place, "path = %s")
	if isPath && (path.Clean("/"+text) != "/"+text || regexp.MustCompile(`^/|^(kv|local|secrets)/|/data/`).MatchString(text)) {
		return true
	}
	if strings.HasPrefix(place, "consul_linked") && (strings.HasSuffix(text, "_HOST") || strings.HasSuffix(text, "_PORT")) {
		return true
	}
	return strings.Contains(place, "pattern = %s") && regexp.MustCompile(`\{\{-?\s*\.(Address|Port)\s*-?\}\}`).MatchString(text)
}

// varsWith writes vars.hcl with the text at its place.
func varsWith(place, text string) string {
	name, _, _ := strings.Cut(place, " ")
	lines := slices.DeleteFunc(slices.Clone(surroundings), func(line string) bool { return strings.HasPrefix(line, name+" ") })
	if strings.Contains(place, "content = %s") {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	written := hclwrite.TokensForValue(cty.StringVal(text)).Bytes()
	return strings.Join(lines, "\n") + "\n" + fmt.Sprintf(place, written) + "\n"
}

// flatten lists a job's blocks and values, each with its place, as Nomad's
// client and consul-template would read them.
func flatten(t *testing.T, job string) []string {
	t.Helper()
	parsed, diags := hclsyntax.ParseConfig([]byte(job), "job.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("the job does not parse: %v\n%s", diags, job)
	}
	var lines []string
	flattenBody(t, "", parsed.Body.(*hclsyntax.Body), &lines)
	return lines
}

func flattenBody(t *testing.T, at string, body *hclsyntax.Body, lines *[]string) {
	t.Helper()
	var names []string
	for name := range body.Attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value, diags := body.Attributes[name].Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatalf("%s.%s is not a constant: %v", at, name, diags)
		}
		flattenValue(at+"."+name, value, lines)
	}
	for _, block := range body.Blocks {
		inner := at + "." + block.Type
		*lines = append(*lines, fmt.Sprintf("%s %s", inner, strings.Join(block.Labels, " ")))
		flattenBody(t, inner, block.Body, lines)
	}
}

func flattenValue(at string, value cty.Value, lines *[]string) {
	if value.Type().IsTupleType() {
		*lines = append(*lines, fmt.Sprintf("%s has %d", at, value.LengthInt()))
		for _, element := range value.AsValueSlice() {
			flattenValue(at, element, lines)
		}
		return
	}
	if value.Type() != cty.String {
		*lines = append(*lines, at+" = "+value.GoString())
		return
	}
	*lines = append(*lines, at+" = "+readAgain(at, value.AsString()))
}

var encoded = regexp.MustCompile(`base64Decode "([A-Za-z0-9+/=]*)"`)

// readAgain reads a string the way its second reader does: Nomad's client in a
// task's config, consul-template in a template's data.
func readAgain(at, s string) string {
	if strings.Contains(at, ".task.config") {
		return asClient(s)
	}
	return encoded.ReplaceAllStringFunc(s, func(call string) string {
		text, _ := base64.StdEncoding.DecodeString(encoded.FindStringSubmatch(call)[1])
		return "base64Decode " + string(text)
	})
}

func asClient(s string) string {
	expression, diags := hclsyntax.ParseTemplate([]byte(s), "", hcl.InitialPos)
	if diags.HasErrors() {
		return "broken: " + s
	}
	value, diags := expression.Value(nil)
	if diags.HasErrors() {
		return "replaced: " + s
	}
	return value.AsString()
}
