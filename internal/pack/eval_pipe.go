package pack

import (
	"reflect"
	"strings"
	"text/template/parse"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// pipeline runs the commands, each with the value of the one before as its
// last argument, and gives the end to the variables that it declares or sets.
func (f *frame) pipeline(dot reflect.Value, pipe *parse.PipeNode) (reflect.Value, error) {
	if pipe == nil {
		return reflect.Value{}, nil
	}
	var piped *reflect.Value
	for _, command := range pipe.Cmds {
		value, err := f.command(dot, command, piped)
		if err != nil {
			return reflect.Value{}, err
		}
		value = unwrapped(value)
		piped = &value
	}
	for _, n := range pipe.Decl {
		if !pipe.IsAssign {
			f.variables = append(f.variables, local{n.Ident[0], *piped})
			continue
		}
		if err := f.assign(n, *piped); err != nil {
			return reflect.Value{}, err
		}
	}
	return *piped, nil
}

func (f *frame) command(dot reflect.Value, command *parse.CommandNode, piped *reflect.Value) (reflect.Value, error) {
	first := command.Args[0]
	if name, ok := first.(*parse.IdentifierNode); ok {
		return f.call(call{node: command, name: name.Ident, dot: dot, args: command.Args[1:], piped: piped})
	}
	if len(command.Args) > 1 || piped != nil {
		return reflect.Value{}, f.fail(first, "%s is not a function, it takes no arguments", first)
	}
	if first.Type() == parse.NodeNil {
		return reflect.Value{}, f.fail(first, "nil is not a command")
	}
	return f.operand(dot, first)
}

// operand returns the value of one term where no type is asked for.
func (f *frame) operand(dot reflect.Value, node parse.Node) (reflect.Value, error) {
	switch n := node.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.NilNode:
		return reflect.Value{}, nil
	case *parse.BoolNode:
		return reflect.ValueOf(n.True), nil
	case *parse.StringNode:
		return reflect.ValueOf(n.Text), nil
	case *parse.NumberNode:
		return f.number(n)
	case *parse.FieldNode:
		return f.fields(n, dot, n.Ident)
	case *parse.VariableNode:
		return f.variable(n)
	case *parse.ChainNode:
		return f.chain(dot, n)
	case *parse.PipeNode:
		return f.pipeline(dot, n)
	case *parse.IdentifierNode:
		return f.call(call{node: n, name: n.Ident, dot: dot})
	default:
		return reflect.Value{}, f.fail(node, "%s is not a value", node)
	}
}

// variable returns $name or a part of it, $name.a.b.
func (f *frame) variable(n *parse.VariableNode) (reflect.Value, error) {
	for i := len(f.variables) - 1; i >= 0; i-- {
		if f.variables[i].name == n.Ident[0] {
			return f.fields(n, f.variables[i].value, n.Ident[1:])
		}
	}
	return reflect.Value{}, f.fail(n, "there is no variable %s", n.Ident[0])
}

// chain is (pipeline).a.b.
func (f *frame) chain(dot reflect.Value, n *parse.ChainNode) (reflect.Value, error) {
	value, err := f.operand(dot, n.Node)
	if err != nil {
		return reflect.Value{}, err
	}
	return f.fields(n, value, n.Field)
}

// fields follows names through maps. A map without the name is an error.
func (f *frame) fields(n parse.Node, value reflect.Value, names []string) (reflect.Value, error) {
	for _, name := range names {
		holder, isNil := indirect(value)
		if !holder.IsValid() || isNil {
			return reflect.Value{}, f.fail(n, "%q is asked of nothing", name)
		}
		if holder.Kind() != reflect.Map || !reflect.TypeFor[string]().AssignableTo(holder.Type().Key()) {
			return reflect.Value{}, f.fail(n, "%q is asked of a value of type %s, which has no parts", name, value.Type())
		}
		value = holder.MapIndex(reflect.ValueOf(name))
		if !value.IsValid() {
			return reflect.Value{}, f.fail(n, "map has no entry for key %q%s", name, tasks.DidYouMean(name, stringKeys(holder)))
		}
	}
	return value, nil
}

func stringKeys(m reflect.Value) []string {
	var keys []string
	for key := range sortedPairs(m) {
		keys = append(keys, unwrapped(key).String())
	}
	return keys
}

// number returns a constant as the type that its writing has in Go.
func (f *frame) number(n *parse.NumberNode) (reflect.Value, error) {
	switch {
	case n.IsComplex:
		return reflect.ValueOf(n.Complex128), nil
	case n.IsFloat && writtenAsFloat(n.Text):
		return reflect.ValueOf(n.Float64), nil
	case n.IsInt && int64(int(n.Int64)) == n.Int64:
		return reflect.ValueOf(int(n.Int64)), nil
	}
	return reflect.Value{}, f.fail(n, "%s overflows int", n.Text)
}

// writtenAsFloat tells 1e3 and 0x1p4 from 0x1e3 and '.'.
func writtenAsFloat(text string) bool {
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "'"):
		return false
	case strings.HasPrefix(lower, "0x"):
		return strings.Contains(lower, "p")
	default:
		return strings.ContainsAny(lower, ".ep")
	}
}

// indirect follows pointers and interfaces to their end; true where that is nil.
func indirect(v reflect.Value) (reflect.Value, bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v, true
		}
		v = v.Elem()
	}
	return v, false
}

// unwrapped returns what an empty interface holds; a nil one becomes no value.
func unwrapped(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface && v.Type().NumMethod() == 0 {
		return v.Elem()
	}
	return v
}

// concrete returns what any interface holds.
func concrete(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}
