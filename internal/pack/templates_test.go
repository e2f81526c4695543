package pack_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// instance is what consul-template knows of one instance of a service.
type instance struct {
	Address string
	Port    int
}

// secret is what consul-template returns for a path in Vault.
type secret struct{ Data map[string]any }

// consulTemplate are the functions that the pack's templates use, over a Vault
// and a catalogue of the test.
func consulTemplate(vault map[string]map[string]any) template.FuncMap {
	find := func(name string) []instance {
		if name != "pg-5432" {
			return nil
		}
		return []instance{{"10.0.0.1", 5432}, {"10.0.0.2", 5432}}
	}
	return template.FuncMap{
		"secret": func(path string, args ...string) *secret {
			data, ok := vault[strings.Join(append([]string{path}, args...), " ")]
			if !ok {
				return nil
			}
			return &secret{Data: data}
		},
		"service":      find,
		"nomadService": find,
		"regexMatch":   regexp.MatchString,
		"toJSON": func(v any) (string, error) {
			text, err := json.Marshal(v)
			return string(text), err
		},
		"base64Decode": func(s string) (string, error) {
			text, err := base64.StdEncoding.DecodeString(s)
			return string(text), err
		},
	}
}

func TestTemplatesGiveTheirVariables(t *testing.T) {
	t.Parallel()
	text := "a\nb \"c\" $${d} {{ e }} <&> \\ # '"
	vars := least + `project_id = "p"
service_id = "s"
uses_kv_engine = true
shared_secret_path = "all"
vault_linked_secrets = [{ prefix = "DB_", secret_path = "db" }]
private_registry = "r"
private_registry_provider = "ecr"
use_tls = true
tls = [{ cert_path = "c", key_path = "secrets/k", common_name = "a.test", pka_path = "pki/issue/x", ttl = "3h" }]
config_files = [{ path = "etc/x", content = "e3sga2V5IH19Cg==" }]
consul_linked_services = [
  { key = "PG", value = "pg-5432" }, { key = "PG_HOST", value = "pg-5432" }, { key = "P", value = "pg-5432_PORT" }, { key = "GONE", value = "gone" },
]
template = [
  { name = "URL", pattern = "pg://{{ $USER }}:$${PASS}@{{ .Address }}:{{.Port}}/{{ $other }}", service_name = "pg-5432", service_secret_path = "pg", linked_vars = ["USER", "PASS"] },
  { name = "LATER", pattern = "{{ .Address }}", service_name = "gone" },
]
`
	data := func(values map[string]any) map[string]any { return map[string]any{"data": values} }
	vault := map[string]map[string]any{
		"kv/data/p/s":   data(map[string]any{"TEXT": text, "NUMBER": json.Number("5"), "MAP": map[string]any{"a": 1}, "not-a-name": "x"}),
		"kv/data/p/all": data(map[string]any{"ALL": ""}),
		"kv/data/p/db":  data(map[string]any{"NAME": "db"}),
		"kv/data/r/ecr": data(map[string]any{"username": "u", "PASSWORD": "$${p}"}),
		"kv/data/p/pg":  data(map[string]any{"USER": "me", "PASS": "a b\"c"}),
		"pki/issue/x common_name=a.test ttl=3h": {
			"certificate": "CERT", "private_key": "KEY", "issuing_ca": "CA",
		},
	}
	env, written := execute(t, render(t, vars), consulTemplate(vault))
	wantEnv := map[string]string{
		"TEXT": text, "NUMBER": "5", "MAP": `{"a":1}`, "ALL": "", "DB_NAME": "db",
		"DISPATCHD_REGISTRY_USERNAME": "u", "DISPATCHD_REGISTRY_PASSWORD": "$${p}",
		"PG": "10.0.0.1:5432", "PG_HOST": "10.0.0.1", "P": "5432",
		"URL": "pg://me:a b\"c@10.0.0.1:5432/{{ $other }}",
	}
	if diff := cmp.Diff(wantEnv, env); diff != "" {
		t.Errorf("the app's environment differs (-want +got):\n%s", diff)
	}
	wantFiles := map[string]string{
		"local/dispatchd/config-0":     "{{ key }}\n",
		"secrets/dispatchd/cert-0.pem": "CERT\nCA\n",
		"secrets/k":                    "KEY\n",
	}
	if diff := cmp.Diff(wantFiles, written); diff != "" {
		t.Errorf("the app's files differ (-want +got):\n%s", diff)
	}
}

// execute carries out each template block of a job: its variables and its files.
func execute(t *testing.T, job string, functions template.FuncMap) (env, written map[string]string) {
	t.Helper()
	parsed, diags := hclsyntax.ParseConfig([]byte(job), "job.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	env, written = map[string]string{}, map[string]string{}
	task := parsed.Body.(*hclsyntax.Body).Blocks[0].Body.Blocks
	for _, group := range task {
		for _, block := range group.Body.Blocks {
			if block.Type != "task" {
				continue
			}
			for _, inner := range block.Body.Blocks {
				if inner.Type == "template" {
					executeOne(t, inner.Body, functions, env, written)
				}
			}
		}
	}
	return env, written
}

func executeOne(t *testing.T, body *hclsyntax.Body, functions template.FuncMap, env, written map[string]string) {
	t.Helper()
	destination, text := attribute(t, body, "destination"), attribute(t, body, "data")
	parsed, err := template.New(destination).Funcs(functions).Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, nil); err != nil {
		t.Fatal(err)
	}
	if body.Attributes["env"] == nil {
		written[destination] = out.String()
		return
	}
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			t.Fatalf("%s holds the line %q", destination, line)
		}
		env[name] = unquoted(t, value)
	}
}

// unquoted reads a value as Nomad does: JSON's escapes inside quotes.
func unquoted(t *testing.T, value string) string {
	t.Helper()
	if !strings.HasPrefix(value, `"`) {
		return value
	}
	var text string
	if err := json.Unmarshal([]byte(value), &text); err != nil {
		t.Fatalf("value %s: %v", value, err)
	}
	return text
}

func attribute(t *testing.T, body *hclsyntax.Body, name string) string {
	t.Helper()
	value, diags := body.Attributes[name].Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(fmt.Errorf("%s: %w", name, diags))
	}
	return value.AsString()
}
