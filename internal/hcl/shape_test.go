package hcl_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	hclv2 "github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// leaves parses a generated text and returns every leaf of its syntax tree by
// its place: a text as text:…, anything else as it stands. A node of a kind
// that the package never writes fails the test.
func leaves(t testing.TB, source []byte) map[string]string {
	t.Helper()
	file, diags := hclsyntax.ParseConfig(source, "file.hcl", hclv2.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("the text does not parse: %v\n%s", diags, source)
	}
	found := map[string]string{}
	content, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		t.Fatalf("the body is a %T", file.Body)
	}
	walkBody(t, found, "", content)
	return found
}

func walkBody(t testing.TB, found map[string]string, at string, content *hclsyntax.Body) {
	t.Helper()
	for name, attribute := range content.Attributes {
		walk(t, found, at+"/"+name, attribute.Expr)
	}
	for i, block := range content.Blocks {
		place := fmt.Sprintf("%s/%d:%s", at, i, block.Type)
		for j, label := range block.Labels {
			found[fmt.Sprintf("%s#%d", place, j)] = "text:" + label
		}
		walkBody(t, found, place, block.Body)
	}
}

func walk(t testing.TB, found map[string]string, at string, expr hclsyntax.Expression) {
	t.Helper()
	switch node := expr.(type) {
	case *hclsyntax.TemplateExpr:
		for _, part := range node.Parts {
			if _, ok := part.(*hclsyntax.LiteralValueExpr); !ok {
				t.Fatalf("%s holds a %T", at, part)
			}
		}
		found[at] = "text:" + constant(t, at, node).AsString()
	case *hclsyntax.LiteralValueExpr:
		found[at] = constant(t, at, node).GoString()
	case *hclsyntax.ScopeTraversalExpr:
		found[at] = "reference:" + node.Traversal.RootName()
	case *hclsyntax.TupleConsExpr:
		found[at] = fmt.Sprintf("list of %d", len(node.Exprs))
		for i, element := range node.Exprs {
			walk(t, found, fmt.Sprintf("%s[%d]", at, i), element)
		}
	case *hclsyntax.ObjectConsExpr:
		found[at] = fmt.Sprintf("object of %d", len(node.Items))
		for _, item := range node.Items {
			walk(t, found, at+"."+constant(t, at, item.KeyExpr).AsString(), item.ValueExpr)
		}
	default:
		t.Fatalf("%s is a %T", at, expr)
	}
}

func constant(t testing.TB, at string, expr hclsyntax.Expression) cty.Value {
	t.Helper()
	v, diags := expr.Value(nil)
	if diags.HasErrors() {
		t.Fatalf("%s is no constant: %v", at, diags)
	}
	return v
}

// subject is all that the two files are made from.
type subject struct {
	plan  tasks.Plan
	image tasks.Image
}

// slot is one string of a subject.
type slot struct {
	name string
	set  func(string)
}

// slots lists every string of the subject, in the order of its types' fields.
// Secrets and flexible strings are not among them.
func (s *subject) slots() []slot {
	var found []slot
	find(&found, "plan", reflect.ValueOf(&s.plan).Elem())
	find(&found, "image", reflect.ValueOf(&s.image).Elem())
	return found
}

func find(found *[]slot, at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			*found = append(*found, slot{at, v.SetString})
		}
	case reflect.Pointer:
		if !v.IsNil() {
			find(found, at, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			find(found, at+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			find(found, fmt.Sprintf("%s[%d]", at, i), v.Index(i))
		}
	case reflect.Map:
		if v.Type() != reflect.TypeFor[map[string]string]() {
			return
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			name := fmt.Sprintf("%s[%s]", at, key)
			*found = append(*found, slot{name, func(s string) { v.SetMapIndex(key, reflect.ValueOf(s)) }})
		}
	default:
	}
}

// everything is the subject in which every field of a task is given.
func everything(t testing.TB) *subject {
	t.Helper()
	return subjectOf(t, "everything", tasks.Plan{Builder: tasks.BuilderDocker, ImageName: "registry.test/team/web", Push: true},
		tasks.Image{Name: "registry.test/team/web", Tag: "v7", Digest: digest, Ports: tcpPorts(80, 443)})
}

// strange are texts that mean something to HCL, to a pack's templates, to
// Nomad, to a shell or to a terminal, or that HCL cannot hold.
func strange() []string {
	return []string{
		`"`, `\`, `\"`, "\n", "\r\n", "a\nmalice = 1\n", `x" }` + "\n" + `malice = "${1 + 1}`,
		"${", "%{", "$${", "%%{", "$$${a}", "%%%{a}", "${env(\"HOME\")}", "%{ if true }x%{ endif }", `\${x}`, "$", "%", "a$", "{",
		"[[ fileContents \"/etc/passwd\" ]]", "{{ key \"x\" }}", "<<EOT\nx\nEOT\n", "<<-EOT", "EOT", "# x", "// x", "/* x */",
		"\x00", "a\x00b", "\u0007", "\u2028", "\ufeff", "\u202eabc\u202c", "\U000e0001", "\U0001f600", "\ufffd",
		"e\u0301", "\u0301", "\u0338", "\u212b", "\ud55c", "\u1112\u1161\u11ab", "\xff", "a\xc3", "\xed\xa0\x80",
		"null", "true", "7", "for", "var.nomad_token", "\u00e9", strings.Repeat("${\"\\\n", 50),
	}
}
