package pack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// valuesFile is what error messages call the variables' text.
const valuesFile = "vars.hcl"

// values returns each declared variable's value: that of vars.hcl, else the
// request's own fact of that name, else the default.
func (p *pack) values(req tasks.RenderRequest) (map[string]any, error) {
	given, err := p.given(req.Variables)
	if err != nil {
		return nil, err
	}
	known := facts(req)
	values := make(map[string]any, len(p.variables))
	for _, v := range p.variables {
		value, ok := given[v.name]
		if !ok {
			value, ok = known[v.name]
		}
		if !ok {
			value = v.standard
		}
		if value == cty.NilVal || value.IsNull() {
			return nil, refuse("missing required variable %q (%s)", v.name, v.description)
		}
		values[v.name] = goValue(value)
	}
	return values, nil
}

// facts are what the request knows beside vars.hcl, by the name of the
// variable that a pack declares to hear of it.
func facts(req tasks.RenderRequest) map[string]cty.Value {
	known := map[string]cty.Value{
		"force_pull":    cty.BoolVal(req.ForcePull),
		"vault_by_role": cty.BoolVal(req.VaultByRole),
	}
	if req.ServiceProvider != "" {
		known["service_provider"] = cty.StringVal(req.ServiceProvider)
	}
	return known
}

// given reads vars.hcl. A null is the same as no value.
func (p *pack) given(text []byte) (map[string]cty.Value, error) {
	// HCL makes NFC of every string, so any other text would reach the job changed.
	if cty.NormalizeString(string(text)) != string(text) {
		return nil, refuse("%s holds text that is not in Unicode normal form C: HCL would change it", valuesFile)
	}
	parsed, err := parseHCL(text, valuesFile)
	if err != nil {
		return nil, err
	}
	attributes, diags := parsed.Body.JustAttributes()
	if diags.HasErrors() {
		return nil, place(diags)
	}
	values := make(map[string]cty.Value, len(attributes))
	for _, a := range byLine(attributes) {
		value, err := p.value(a)
		if err != nil {
			return nil, refuse("%s:%d: %v", valuesFile, a.Range.Start.Line, err)
		}
		if !value.IsNull() {
			values[a.Name] = value
		}
	}
	return values, nil
}

// byLine makes the first error of a file the one that is reported.
func byLine(attributes hcl.Attributes) []*hcl.Attribute {
	return slices.SortedFunc(maps.Values(attributes), func(a, b *hcl.Attribute) int {
		return a.Range.Start.Byte - b.Range.Start.Byte
	})
}

func (p *pack) value(a *hcl.Attribute) (cty.Value, error) {
	v, ok := p.variable(a.Name)
	if !ok {
		return cty.NilVal, fmt.Errorf("the pack has no variable %q%s", a.Name, tasks.DidYouMean(a.Name, p.variableNames()))
	}
	value, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("variable %s: %s", a.Name, diags[0].Detail)
	}
	return v.convert(value)
}

// convert returns the value as the variable's type has it.
func (v variable) convert(value cty.Value) (cty.Value, error) {
	unknown := unknownAttribute(value, v.kind, nil)
	if unknown != nil && v.foreign {
		// As nomad-pack does: what is given replaces the declared type.
		return value, nil
	}
	if unknown != nil {
		return cty.NilVal, v.wrong(unknown)
	}
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, v.kind)
	if err != nil {
		return cty.NilVal, v.wrong(err)
	}
	return converted, nil
}

// wrong names the variable and the place inside it.
func (v variable) wrong(err error) error {
	var at cty.PathError
	if !errors.As(err, &at) {
		return fmt.Errorf("variable %s: %w", v.name, err)
	}
	return fmt.Errorf("variable %s%s: %w", v.name, pathText(at.Path), err)
}

func pathText(path cty.Path) string {
	var b strings.Builder
	for _, step := range path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			b.WriteString("." + s.Name)
		case cty.IndexStep:
			if s.Key.Type() == cty.String {
				fmt.Fprintf(&b, "[%q]", s.Key.AsString())
				continue
			}
			fmt.Fprintf(&b, "[%s]", s.Key.AsBigFloat().Text('f', 0))
		}
	}
	return b.String()
}

// unknownAttribute finds an attribute that the type does not have: a
// conversion would drop it without a word.
func unknownAttribute(value cty.Value, kind cty.Type, path cty.Path) error {
	if value.IsNull() || !value.CanIterateElements() {
		return nil
	}
	for it := value.ElementIterator(); it.Next(); {
		key, element := it.Element()
		next, inner, err := step(key, kind, path)
		if err != nil {
			return err
		}
		if inner == cty.DynamicPseudoType {
			continue
		}
		if err := unknownAttribute(element, inner, next); err != nil {
			return err
		}
	}
	return nil
}

// step goes from a type to the type of one of its elements.
func step(key cty.Value, kind cty.Type, path cty.Path) (cty.Path, cty.Type, error) {
	switch {
	case kind.IsObjectType() && key.Type() == cty.String:
		name := key.AsString()
		if !kind.HasAttribute(name) {
			known := slices.Sorted(maps.Keys(kind.AttributeTypes()))
			return nil, cty.NilType, path.NewErrorf("there is no attribute %q%s", name, tasks.DidYouMean(name, known))
		}
		return path.Copy().GetAttr(name), kind.AttributeType(name), nil
	case kind.IsCollectionType():
		return path.Copy().Index(key), kind.ElementType(), nil
	default:
		return path, cty.DynamicPseudoType, nil
	}
}
