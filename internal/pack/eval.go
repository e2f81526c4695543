package pack

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
)

// What one rendering may use. A job has some kilobytes: a template that reaches
// one of these runs away.
const (
	maxDepth = 1000
	maxSteps = 1 << 20
	maxText  = 4 << 20
	maxList  = 1 << 16
	// maxMade bounds what all functions give together, in bytes: many texts below
	// their limit are too much, too.
	maxMade = 256 << 20
)

// templates is a set of parsed templates and the functions that they may call.
// It has the semantics of text/template with missingkey=error, for the values
// of a pack: methods, fields of structs, channels and iterators are not known.
//
// text/template's own executor looks methods up by name, and a program that
// does so keeps every exported method of all its packages.
type templates struct {
	trees     map[string]*parse.Tree
	functions map[string]reflect.Value
}

func newTemplates(functions map[string]any) *templates {
	t := &templates{trees: map[string]*parse.Tree{}, functions: map[string]reflect.Value{}}
	for name, function := range functions {
		t.functions[name] = reflect.ValueOf(function)
	}
	return t
}

// parse reads a text and returns its templates, without adding them.
func (t *templates) parse(name, text, left, right string) (map[string]*parse.Tree, error) {
	known := map[string]any{}
	for _, function := range slices.Concat(slices.Collect(maps.Keys(t.functions)), builtinNames()) {
		known[function] = true
	}
	return parse.Parse(name, text, left, right, known)
}

// execute renders one template of the set.
func (t *templates) execute(name string, data any) (string, error) {
	tree, ok := t.trees[name]
	if !ok {
		return "", fmt.Errorf("there is no template %q", name)
	}
	dot := reflect.ValueOf(data)
	main := &frame{run: &run{templates: t}, tree: tree, variables: []local{{"$", dot}}}
	if err := main.walk(dot, tree.Root); err != nil {
		return "", err
	}
	return main.out.String(), nil
}

// run is one rendering.
type run struct {
	*templates
	out   strings.Builder
	steps int
	made  int
}

// frame is the execution of one template inside a run. A template sees no
// variables but its own.
type frame struct {
	*run
	tree      *parse.Tree
	depth     int
	variables []local
}

type local struct {
	name  string
	value reflect.Value
}

// break and continue travel as errors up to their range.
var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
	errLimit    = errors.New("the template runs away")
)

// fail returns an error with the node's file, line and column.
func (f *frame) fail(n parse.Node, format string, args ...any) error {
	place, context := f.tree.ErrorContext(n)
	return fmt.Errorf("%s: at <%s>: %w", place, context, fmt.Errorf(format, args...))
}

func (f *frame) walk(dot reflect.Value, node parse.Node) error {
	if f.steps++; f.steps > maxSteps {
		return f.fail(node, "%w: more than %d steps", errLimit, maxSteps)
	}
	switch n := node.(type) {
	case *parse.ListNode:
		return f.list(dot, n)
	case *parse.TextNode:
		return f.write(n, string(n.Text))
	case *parse.ActionNode:
		return f.action(dot, n)
	case *parse.IfNode:
		return f.branch(dot, &n.BranchNode)
	case *parse.WithNode:
		return f.branch(dot, &n.BranchNode)
	case *parse.RangeNode:
		return f.loop(dot, n)
	case *parse.BreakNode:
		return errBreak
	case *parse.ContinueNode:
		return errContinue
	case *parse.TemplateNode:
		return f.enter(dot, n)
	case *parse.CommentNode:
		return nil
	default:
		return f.fail(node, "a template cannot hold %s", node)
	}
}

func (f *frame) list(dot reflect.Value, list *parse.ListNode) error {
	for _, node := range list.Nodes {
		if err := f.walk(dot, node); err != nil {
			return err
		}
	}
	return nil
}

func (f *frame) write(n parse.Node, text string) error {
	if f.out.Len()+len(text) > maxText {
		return f.fail(n, "%w: its output is larger than %d bytes", errLimit, maxText)
	}
	f.out.WriteString(text)
	return nil
}

// action prints a pipeline's value, unless it went to a variable. The variable
// lives to the end of the block.
func (f *frame) action(dot reflect.Value, n *parse.ActionNode) error {
	value, err := f.pipeline(dot, n.Pipe)
	if err != nil || len(n.Pipe.Decl) > 0 {
		return err
	}
	printed, ok := printable(value)
	if !ok {
		return f.fail(n, "a value of type %s cannot be printed", value.Type())
	}
	return f.write(n, fmt.Sprint(printed))
}

// branch is if and with; with also sets the dot.
func (f *frame) branch(dot reflect.Value, n *parse.BranchNode) error {
	defer f.leave(len(f.variables))
	value, err := f.pipeline(dot, n.Pipe)
	if err != nil {
		return err
	}
	switch {
	case truth(value) && n.NodeType == parse.NodeWith:
		return f.walk(value, n.List)
	case truth(value):
		return f.walk(dot, n.List)
	case n.ElseList != nil:
		return f.walk(dot, n.ElseList)
	}
	return nil
}

// enter runs another template.
func (f *frame) enter(dot reflect.Value, n *parse.TemplateNode) error {
	tree, ok := f.trees[n.Name]
	if !ok {
		return f.fail(n, "template %q is not defined", n.Name)
	}
	if f.depth >= maxDepth {
		return f.fail(n, "%w: templates call each other %d deep", errLimit, maxDepth)
	}
	dot, err := f.pipeline(dot, n.Pipe)
	if err != nil {
		return err
	}
	inner := &frame{run: f.run, tree: tree, depth: f.depth + 1, variables: []local{{"$", dot}}}
	return inner.walk(dot, tree.Root)
}

// leave forgets the variables of a block.
func (f *frame) leave(mark int) { f.variables = f.variables[:mark] }

// assign sets the innermost variable of the name.
func (f *frame) assign(n *parse.VariableNode, value reflect.Value) error {
	for i := range slices.Backward(f.variables) {
		if f.variables[i].name == n.Ident[0] {
			f.variables[i].value = value
			return nil
		}
	}
	return f.fail(n, "there is no variable %s", n.Ident[0])
}
