package hcl

import (
	"cmp"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// ours are the variables that a file which a person wrote cannot change.
var ours = []string{"job_name", "image"}

// Written is one variable of a file that a person wrote.
type Written struct {
	Name string
	// Text is the value where it is a plain string.
	Text string
	// Line and Column are those of the value.
	Line, Column int

	value cty.Value
}

// ReadVariables reads a file of variables that a person wrote: constants only,
// each name once.
func (Generator) ReadVariables(file tasks.VariableFile) ([]Written, tasks.FileProblems) {
	d := newDecoder()
	if cty.NormalizeString(string(file.Text)) != string(file.Text) {
		d.problem(hcl.Range{Start: hcl.InitialPos}, "the file is not in Unicode's normal form NFC, and HCL would change it")
	}
	parsed, diags := hclsyntax.ParseConfig(file.Text, file.Name, hcl.InitialPos)
	d.add(diags)
	var written []Written
	if parsed != nil && !diags.HasErrors() {
		written = d.written(parsed.Body)
	}
	d.sort()
	var problems tasks.FileProblems
	for _, p := range d.problems {
		problems = append(problems, tasks.FileProblem{File: file.Name, Line: p.at.Line, Column: p.at.Column, Text: p.text})
	}
	return written, problems
}

// written are the attributes of a body in their order.
func (d *decoder) written(content hcl.Body) []Written {
	attributes, diags := content.JustAttributes()
	d.add(diags)
	found := slices.SortedFunc(maps.Values(attributes), func(a, b *hcl.Attribute) int {
		return cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte)
	})
	var all []Written
	for _, a := range found {
		v, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			d.problem(a.Expr.Range(), "%s must be a plain value, without variables and functions", a.Name)
			continue
		}
		if tooLarge(v) {
			d.problem(a.Expr.Range(), "%s holds a number that is too large", a.Name)
			continue
		}
		at := a.Expr.Range().Start
		w := Written{Name: a.Name, Line: at.Line, Column: at.Column, value: v}
		if isA(v, cty.String) {
			w.Text = v.AsString()
		}
		all = append(all, w)
	}
	return all
}

// mostExponent bounds numbers: one is written with all its digits.
const mostExponent = 1 << 10

func tooLarge(v cty.Value) bool {
	found := false
	_ = cty.Walk(v, func(_ cty.Path, part cty.Value) (bool, error) {
		if isA(part, cty.Number) {
			number := part.AsBigFloat()
			exponent := number.MantExp(nil)
			found = found || number.IsInf() || exponent > mostExponent || exponent < -mostExponent
		}
		return !found, nil
	})
	return found
}

// overlay puts what persons wrote over the derived variables.
func (g Generator) overlay(derived body, files []tasks.VariableFile) (body, error) {
	for _, file := range files {
		written, problems := g.ReadVariables(file)
		if len(problems) > 0 {
			return body{}, invalid(problems)
		}
		for _, w := range written {
			if !slices.Contains(ours, w.Name) {
				derived.set(attribute{w.Name, literal{w.value}})
			}
		}
	}
	return derived, nil
}

// set replaces an attribute, or adds it.
func (b *body) set(a attribute) {
	same := func(other attribute) bool { return other.name == a.name }
	if i := slices.IndexFunc(b.attributes, same); i >= 0 {
		b.attributes[i] = a
		return
	}
	b.attributes = append(b.attributes, a)
}

// literal is a value that was read, whatever its type.
type literal struct{ cty.Value }

func (v literal) tokens() hclwrite.Tokens { return hclwrite.TokensForValue(v.Value) }

func (v literal) mismatch(place string, got cty.Value) error {
	if !got.RawEquals(v.Value) {
		return differs(place)
	}
	return nil
}
