package fields_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// place is one value of a file, or the label of a block, and where it stands:
// group.task.config.image.
type place struct{ at, value string }

// read lists a file's values. Strings that Nomad's client or consul-template
// reads once more are what they are after that. A value that is no constant, or
// that would be replaced there, fails the test.
func read(t testing.TB, text string) []place {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(text), "file.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("it does not parse: %v\n%s", diags, text)
	}
	var found []place
	readBody(t, "", file.Body.(*hclsyntax.Body), &found)
	return found
}

func readBody(t testing.TB, above string, body *hclsyntax.Body, found *[]place) {
	t.Helper()
	names := make([]string, 0, len(body.Attributes))
	for name := range body.Attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		expr := body.Attributes[name].Expr
		if _, isReference := expr.(*hclsyntax.ScopeTraversalExpr); isReference {
			*found = append(*found, place{above + name, "a reference"})
			continue
		}
		value, diags := expr.Value(nil)
		if diags.HasErrors() {
			t.Fatalf("%s%s is no constant: %v", above, name, diags)
		}
		readValue(t, above+name, value, found)
	}
	for _, block := range body.Blocks {
		*found = append(*found, place{above + block.Type, strings.Join(block.Labels, " ")})
		readBody(t, above+block.Type+".", block.Body, found)
	}
}

func readValue(t testing.TB, at string, value cty.Value, found *[]place) {
	t.Helper()
	kind := value.Type()
	switch {
	case kind.IsTupleType():
		*found = append(*found, place{at, fmt.Sprintf("list of %d", value.LengthInt())})
		for _, element := range value.AsValueSlice() {
			readValue(t, at, element, found)
		}
	case kind.IsObjectType():
		for _, name := range slices.Sorted(mapKeys(value)) {
			readValue(t, at+"."+name, value.GetAttr(name), found)
		}
	case kind == cty.String:
		*found = append(*found, place{at, readAgain(t, at, value.AsString())})
	default:
		*found = append(*found, place{at, value.GoString()})
	}
}

func mapKeys(value cty.Value) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range value.Type().AttributeTypes() {
			if !yield(name) {
				return
			}
		}
	}
}

var encoded = regexp.MustCompile(`base64Decode "([A-Za-z0-9+/=]*)"`)

func readAgain(t testing.TB, at, text string) string {
	t.Helper()
	if !strings.Contains(at, "group.task.config") {
		return encoded.ReplaceAllStringFunc(text, func(call string) string {
			decoded, _ := base64.StdEncoding.DecodeString(encoded.FindStringSubmatch(call)[1])
			return "base64Decode " + string(decoded)
		})
	}
	if strings.HasPrefix(text, "${DISPATCHD_REGISTRY_") {
		return text // Ours: the client puts the credentials there.
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("Nomad's client cannot read %s = %q: %v", at, text, diags)
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		t.Fatalf("Nomad's client would replace %s = %q: %v", at, text, diags)
	}
	return value.AsString()
}

// changed lists the places whose values differ, each once, in their order.
func changed(before, after []place) []string {
	var names []string
	for _, p := range slices.Concat(before, after) {
		if !slices.Contains(names, p.at) && !slices.Equal(at(before, p.at), at(after, p.at)) {
			names = append(names, p.at)
		}
	}
	return names
}

func at(all []place, name string) []string {
	var values []string
	for _, p := range all {
		if p.at == name {
			values = append(values, p.value)
		}
	}
	return values
}
