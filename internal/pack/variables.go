package pack

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/zclconf/go-cty/cty"
)

// variable is a variable block of variables.hcl.
type variable struct {
	name        string
	description string
	kind        cty.Type
	// defaults are those of optional attributes inside the type; nil where
	// there are none.
	defaults *typeexpr.Defaults
	// standard is the default; cty.NilVal where the variable must be set.
	standard cty.Value
	// foreign is true in a pack that is not ours: it may be given objects with
	// attributes that it does not declare.
	foreign bool
}

// block is how a variable is written.
type block struct {
	Name        string         `hcl:"name,label"`
	Type        hcl.Expression `hcl:"type,optional"`
	Default     *hcl.Attribute `hcl:"default,optional"`
	Description string         `hcl:"description,optional"`
}

func (p *pack) readVariables(packs fs.FS) error {
	parsed, err := p.readHCL(packs, "variables.hcl")
	if err != nil {
		return err
	}
	var declared struct {
		Variables []block `hcl:"variable,block"`
	}
	if diags := gohcl.DecodeBody(parsed.Body, nil, &declared); diags.HasErrors() {
		return place(diags)
	}
	for _, b := range declared.Variables {
		v, err := b.variable()
		if err != nil {
			return err
		}
		if _, twice := p.variable(v.name); twice {
			return fmt.Errorf("variable %q is declared twice", v.name)
		}
		p.variables = append(p.variables, v)
	}
	return nil
}

func (b block) variable() (variable, error) {
	v := variable{name: b.Name, description: b.Description, kind: cty.DynamicPseudoType}
	if !absent(b.Type) {
		kind, defaults, diags := typeexpr.TypeConstraintWithDefaults(b.Type)
		if diags.HasErrors() {
			return v, place(diags)
		}
		v.kind, v.defaults = kind, defaults
	}
	if b.Default == nil {
		return v, nil
	}
	given, diags := b.Default.Expr.Value(nil)
	if diags.HasErrors() {
		return v, place(diags)
	}
	standard, err := v.convert(given)
	if err != nil {
		return v, fmt.Errorf("%s:%d: default of %w", b.Default.Range.Filename, b.Default.Range.Start.Line, err)
	}
	v.standard = standard
	return v, nil
}

// absent reports whether an optional attribute was not written: gohcl puts a
// null in its place.
func absent(e hcl.Expression) bool {
	if e == nil {
		return true
	}
	v, diags := e.Value(nil)
	return !diags.HasErrors() && v.IsNull()
}

// variable returns the declaration of a name.
func (p *pack) variable(name string) (variable, bool) {
	i := slices.IndexFunc(p.variables, func(v variable) bool { return v.name == name })
	if i < 0 {
		return variable{}, false
	}
	return p.variables[i], true
}

func (p *pack) variableNames() []string {
	names := make([]string, len(p.variables))
	for i, v := range p.variables {
		names[i] = v.name
	}
	return names
}
