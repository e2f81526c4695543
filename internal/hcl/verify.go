package hcl

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// verify reads the text back and compares it with the tree that it was written
// from: the same attributes and blocks, every value equal byte for byte.
func verify(file string, tree body, source []byte) error {
	parsed, diags := hclsyntax.ParseConfig(source, file, hcl.InitialPos)
	if diags.HasErrors() {
		return fmt.Errorf("write %s: the text cannot be read back", file)
	}
	content, ok := parsed.Body.(*hclsyntax.Body)
	if !ok {
		return fmt.Errorf("write %s: the text cannot be read back", file)
	}
	if err := tree.verify("", content); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func (b body) verify(place string, got *hclsyntax.Body) error {
	if len(got.Attributes) != len(b.attributes) || len(got.Blocks) != len(b.blocks) {
		return differs(place)
	}
	for _, a := range b.attributes {
		found, ok := got.Attributes[a.name]
		if !ok {
			return differs(within(place, a.name))
		}
		if err := a.verify(within(place, a.name), found.Expr); err != nil {
			return err
		}
	}
	for i, inner := range b.blocks {
		if err := inner.verify(within(place, inner.kind), got.Blocks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b block) verify(place string, got *hclsyntax.Block) error {
	if got.Type != b.kind || len(got.Labels) > 1 {
		return differs(place)
	}
	if label := strings.Join(got.Labels, ""); label != b.label {
		return unlike(place+" label", b.label)
	}
	return b.body.verify(place, got.Body)
}

func (a attribute) verify(place string, got hcl.Expression) error {
	if name, ok := a.value.(reference); ok {
		if referenceOf(got) != string(name) {
			return differs(place)
		}
		return nil
	}
	// Without a context an expression that is more than a constant is an error.
	evaluated, diags := got.Value(nil)
	if diags.HasErrors() {
		return differs(place)
	}
	return a.value.mismatch(place, evaluated)
}

func (v text) mismatch(place string, got cty.Value) error {
	if !isA(got, cty.String) || got.AsString() != string(v) {
		return unlike(place, string(v))
	}
	return nil
}

func (v number) mismatch(place string, got cty.Value) error {
	if !isA(got, cty.Number) || !got.RawEquals(cty.NumberIntVal(int64(v))) {
		return differs(place)
	}
	return nil
}

func (v flag) mismatch(place string, got cty.Value) error {
	if !isA(got, cty.Bool) || got.True() != bool(v) {
		return differs(place)
	}
	return nil
}

func (v list) mismatch(place string, got cty.Value) error {
	if got.IsNull() || !got.Type().IsTupleType() || got.LengthInt() != len(v) {
		return differs(place)
	}
	for i, element := range got.AsValueSlice() {
		if err := v[i].mismatch(fmt.Sprintf("%s[%d]", place, i), element); err != nil {
			return err
		}
	}
	return nil
}

func (v object) mismatch(place string, got cty.Value) error {
	if got.IsNull() || !got.Type().IsObjectType() || got.LengthInt() != len(v) {
		return differs(place)
	}
	for _, a := range v {
		inner := within(place, a.name)
		if !got.Type().HasAttribute(a.name) {
			return differs(inner)
		}
		if err := a.value.mismatch(inner, got.GetAttr(a.name)); err != nil {
			return err
		}
	}
	return nil
}

// mismatch does not ask for a key by its name before it knows that cty keeps
// it: two keys of one normal form would otherwise be one.
func (v mapping) mismatch(place string, got cty.Value) error {
	var attributes object
	for key, item := range v {
		if cty.NormalizeString(key) != key || !utf8.ValidString(key) {
			return unlike("a key of "+place, key)
		}
		attributes = append(attributes, attribute{key, text(item)})
	}
	return attributes.mismatch(place, got)
}

// mismatch is never reached: a reference is compared by its name.
func (reference) mismatch(place string, _ cty.Value) error { return differs(place) }

// isA reports whether a value that was read is set and of the type.
func isA(got cty.Value, want cty.Type) bool {
	return got.Type().Equals(want) && got.IsKnown() && !got.IsNull()
}

// referenceOf returns an expression that is nothing but a name such as
// var.nomad_token, and "" for any other.
func referenceOf(expr hcl.Expression) string {
	path, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() {
		return ""
	}
	return nameOf(path)
}

// nameOf writes a traversal with dots, "" where it holds an index.
func nameOf(path hcl.Traversal) string {
	names := make([]string, len(path))
	for i, step := range path {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names[i] = step.Name
		case hcl.TraverseAttr:
			names[i] = step.Name
		default:
			return ""
		}
	}
	return strings.Join(names, ".")
}

func within(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

// unlike says why a text did not come back as it was.
func unlike(place, want string) error {
	switch {
	case !utf8.ValidString(want):
		return fmt.Errorf("%s is not valid UTF-8, which HCL cannot hold", place)
	case cty.NormalizeString(want) != want:
		return fmt.Errorf("%s is not in Unicode's normal form NFC, and HCL would change it", place)
	default:
		return differs(place)
	}
}

func differs(place string) error {
	if place == "" {
		return errors.New("the file reads differently from what was written")
	}
	return fmt.Errorf("%s reads differently from what was written", place)
}
