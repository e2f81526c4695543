package hcl

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// mostProblems is how many problems of a file one failure names.
const mostProblems = 5

// decoder reads one cloudstation.hcl and collects all that is wrong with it.
type decoder struct {
	// declared are the variable blocks' names, each with its environment.
	declared map[string][]string
	// block is where the fields that are read stand: build, registry, deploy or
	// nothing; places are the values' places, by block.field.
	block    string
	places   map[string]hcl.Pos
	problems []problem
}

func newDecoder() *decoder {
	return &decoder{declared: map[string][]string{}, places: map[string]hcl.Pos{}}
}

type problem struct {
	at   hcl.Pos
	text string
}

// field is an attribute of a block and how its value is read.
type field struct {
	name     string
	optional bool
	read     reader
}

// reader reads one expression, or notes a problem.
type reader func(d *decoder, name string, expr hcl.Expression)

// read takes the fields of a body and returns its blocks, which are of the
// given kinds; anything else in it is a problem.
func (d *decoder) read(from hcl.Body, kinds []hcl.BlockHeaderSchema, fields ...field) hcl.Blocks {
	schema := &hcl.BodySchema{Blocks: kinds}
	for _, f := range fields {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: f.name, Required: !f.optional})
	}
	content, diags := from.Content(schema)
	d.add(diags)
	for _, f := range fields {
		if found, ok := content.Attributes[f.name]; ok {
			d.places[d.path(f.name)] = found.Expr.Range().Start
			f.read(d, f.name, found.Expr)
		}
	}
	return content.Blocks
}

// path is a field's place in the file's tree.
func (d *decoder) path(name string) string { return within(d.block, name) }

func (d *decoder) exactlyOne(blocks hcl.Blocks, kind string, of hcl.Body) *hcl.Block {
	block := d.atMostOne(blocks, kind)
	if block == nil {
		d.problem(of.MissingItemRange(), "a block %s is missing", kind)
	}
	return block
}

func (d *decoder) atMostOne(blocks hcl.Blocks, kind string) *hcl.Block {
	found := blocks.OfType(kind)
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		d.problem(found[1].DefRange, "only one block %s is allowed", kind)
	}
	return found[0]
}

// constant evaluates an expression that must be a plain value of one type.
func (d *decoder) constant(name string, expr hcl.Expression, want cty.Type) (cty.Value, bool) {
	if names := expr.Variables(); len(names) > 0 {
		d.problem(names[0].SourceRange(), "%s must be a plain value: variables stand for secrets alone", name)
		return cty.NilVal, false
	}
	v, diags := expr.Value(nil)
	if d.add(diags); diags.HasErrors() {
		return cty.NilVal, false
	}
	if !isA(v, want) {
		d.problem(expr.Range(), "%s must be a %s", name, want.FriendlyName())
		return cty.NilVal, false
	}
	return v, true
}

func str(into *string) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		if v, ok := d.constant(name, expr, cty.String); ok {
			*into = v.AsString()
		}
	}
}

func boolean(into *bool) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		if v, ok := d.constant(name, expr, cty.Bool); ok {
			*into = v.True()
		}
	}
}

func strs(into *[]string) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		elements, diags := hcl.ExprList(expr)
		if diags.HasErrors() {
			d.problem(expr.Range(), "%s must be a list of strings", name)
		}
		for _, element := range elements {
			var s string
			str(&s)(d, name, element)
			*into = append(*into, s)
		}
	}
}

// environment reads a map from names of environment variables to texts.
func environment(into *map[string]string) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		pairs, diags := hcl.ExprMap(expr)
		if diags.HasErrors() {
			d.problem(expr.Range(), "%s must be a map of strings", name)
		}
		read := make(map[string]string, len(pairs))
		for _, pair := range pairs {
			var key, item string
			str(&key)(d, "a name in "+name, pair.Key)
			str(&item)(d, name, pair.Value)
			if _, twice := read[key]; twice {
				d.problem(pair.Key.Range(), "%s has %.40q twice", name, key)
			}
			if !isEnvName(key) {
				d.problem(pair.Key.Range(), "%s: %s", name, badEnvName(key))
			}
			read[key] = item
		}
		*into = read
	}
}

func jobID(into *string) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		v, ok := d.constant(name, expr, cty.String)
		if !ok {
			return
		}
		if *into = v.AsString(); strings.TrimSpace(*into) == "" {
			d.problem(expr.Range(), "%s is empty: it is the job's id", name)
		}
	}
}

func oneOf(into *string, what string, known choices) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		v, ok := d.constant(name, expr, cty.String)
		if !ok {
			return
		}
		if *into, ok = known.meaning(v.AsString()); !ok {
			d.problem(expr.Range(), "unknown %s %.40q: must be one of %s%s", what, v.AsString(), known,
				tasks.DidYouMean(v.AsString(), known.names()))
		}
	}
}

// keyword reads a bare word that has only one possible value.
func keyword(want string) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		if referenceOf(expr) != want {
			d.problem(expr.Range(), "%s must be %s", name, want)
		}
	}
}

// noText reads a variable's default, which must be empty: variables stand for
// secrets, and a secret in the file would be ignored without a word.
func noText(d *decoder, name string, expr hcl.Expression) {
	if v, ok := d.constant(name, expr, cty.String); ok && v.AsString() != "" {
		d.problem(expr.Range(), "%s must be empty: the value comes from the environment", name)
	}
}

// secret reads a reference to a declared variable. Its message never shows
// what stands there instead.
func secret(into *tasks.SecretVariable) reader {
	return func(d *decoder, name string, expr hcl.Expression) {
		variable, ok := strings.CutPrefix(referenceOf(expr), "var.")
		if !ok || strings.Contains(variable, ".") {
			d.problem(expr.Range(), "%s must be var.NAME: a secret never stands in this file", name)
			return
		}
		env, declared := d.declared[variable]
		if !declared {
			known := slices.Sorted(maps.Keys(d.declared))
			d.problem(expr.Range(), "variable %.40q is not declared%s", variable, tasks.DidYouMean(variable, known))
		}
		*into = tasks.SecretVariable{Name: variable, Env: env}
	}
}

func (d *decoder) problem(at hcl.Range, format string, args ...any) {
	d.problems = append(d.problems, problem{at.Start, fmt.Sprintf(format, args...)})
}

// add notes what the parser found.
func (d *decoder) add(diags hcl.Diagnostics) {
	for _, diag := range diags {
		if diag.Severity != hcl.DiagError {
			continue
		}
		var at hcl.Range
		if diag.Subject != nil {
			at = *diag.Subject
		}
		said := strings.Join(strings.Fields(diag.Summary+": "+diag.Detail), " ")
		d.problem(at, "%s", strings.TrimSuffix(said, "."))
	}
}

// err returns the first problems in the order of the file, nil where there is none.
func (d *decoder) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	d.sort()
	var lines []string
	for _, p := range d.problems[:min(len(d.problems), mostProblems)] {
		lines = append(lines, fmt.Sprintf("%s line %d, column %d: %s", projectFile, p.at.Line, p.at.Column, p.text))
	}
	if more := len(d.problems) - mostProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(lines, "; "))
}

func (d *decoder) sort() {
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.at.Byte, b.at.Byte) })
}
