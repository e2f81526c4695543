package pack

import (
	"errors"
	"fmt"
	"reflect"
	"text/template/parse"
)

// call is a function with its arguments; piped is the last of them where it
// comes from the command before.
type call struct {
	node  parse.Node
	name  string
	dot   reflect.Value
	args  []parse.Node
	piped *reflect.Value
}

// count is the number of arguments.
func (c call) count() int {
	if c.piped != nil {
		return len(c.args) + 1
	}
	return len(c.args)
}

// call runs a function of the set, else one that the language has.
func (f *frame) call(c call) (reflect.Value, error) {
	if function, ok := f.functions[c.name]; ok {
		return f.callFunction(c, function)
	}
	b, ok := builtins[c.name]
	if !ok {
		return reflect.Value{}, f.fail(c.node, "there is no function %q", c.name)
	}
	if got := c.count(); got < b.least || (!b.variadic && got > b.least) {
		return reflect.Value{}, f.wrongCount(c, b.least, b.variadic)
	}
	if b.function != nil {
		return f.callFunction(c, reflect.ValueOf(b.function))
	}
	if b.values == nil {
		return f.shortCircuit(c, c.name == "or")
	}
	return f.callValues(c, b.values)
}

func (f *frame) wrongCount(c call, want int, variadic bool) error {
	atLeast := ""
	if variadic {
		atLeast = "at least "
	}
	return f.fail(c.node, "%s takes %s%d arguments, it is given %d", c.name, atLeast, want, c.count())
}

// callFunction gives each argument the type of its parameter.
func (f *frame) callFunction(c call, function reflect.Value) (reflect.Value, error) {
	kind := function.Type()
	if !acceptsCount(kind, c.count()) {
		return reflect.Value{}, f.wrongCount(c, fixed(kind), kind.IsVariadic())
	}
	args := make([]reflect.Value, 0, c.count())
	for i, node := range c.args {
		arg, err := f.argument(c.dot, parameterType(kind, i), node)
		if err != nil {
			return reflect.Value{}, err
		}
		args = append(args, arg)
	}
	if c.piped != nil {
		arg, err := f.fit(c.node, *c.piped, parameterType(kind, len(c.args)))
		if err != nil {
			return reflect.Value{}, err
		}
		args = append(args, arg)
	}
	value, err := safely(func() (reflect.Value, error) { return invoke(function, args) })
	return f.result(c, value, err)
}

// callValues is for functions of the language that look at the values
// themselves, of whatever type.
func (f *frame) callValues(c call, function func([]reflect.Value) (reflect.Value, error)) (reflect.Value, error) {
	args := make([]reflect.Value, 0, c.count())
	for _, node := range c.args {
		arg, err := f.operand(c.dot, node)
		if err != nil {
			return reflect.Value{}, err
		}
		args = append(args, concrete(arg))
	}
	if c.piped != nil {
		args = append(args, concrete(*c.piped))
	}
	value, err := safely(func() (reflect.Value, error) { return function(args) })
	return f.result(c, value, err)
}

// shortCircuit is and, or: the first argument whose truth ends it, else the last.
func (f *frame) shortCircuit(c call, end bool) (reflect.Value, error) {
	var last reflect.Value
	for _, node := range c.args {
		value, err := f.operand(c.dot, node)
		if err != nil || truth(value) == end {
			return value, err
		}
		last = value
	}
	if c.piped != nil {
		last = *c.piped
	}
	return last, nil
}

// result names the function in its error, and stops a text or a list that
// doubles itself.
func (f *frame) result(c call, value reflect.Value, err error) (reflect.Value, error) {
	if err != nil {
		return reflect.Value{}, f.fail(c.node, "%s: %w", c.name, err)
	}
	const perElement = 16
	inner := concrete(value)
	switch inner.Kind() {
	case reflect.String:
		f.made += inner.Len()
	case reflect.Slice:
		f.made += inner.Len() * perElement
	}
	switch {
	case f.made > maxMade:
		return reflect.Value{}, f.fail(c.node, "%w: its functions give more than %d bytes together", errLimit, maxMade)
	case inner.Kind() == reflect.String && inner.Len() > maxText:
		return reflect.Value{}, f.fail(c.node, "%w: %s gives more than %d bytes", errLimit, c.name, maxText)
	case inner.Kind() == reflect.Slice && inner.Len() > maxList:
		return reflect.Value{}, f.fail(c.node, "%w: %s gives more than %d elements", errLimit, c.name, maxList)
	}
	return value, nil
}

// invoke calls a function that returns a value, or a value and an error.
func invoke(function reflect.Value, args []reflect.Value) (reflect.Value, error) {
	kind := function.Type()
	withError := kind.NumOut() == 2 && kind.Out(1) == reflect.TypeFor[error]()
	if kind.NumOut() != 1 && !withError {
		return reflect.Value{}, fmt.Errorf("a function of type %s cannot be called", kind)
	}
	results := function.Call(args)
	if withError && !results[1].IsNil() {
		return reflect.Value{}, results[1].Interface().(error)
	}
	return results[0], nil
}

// safely makes an error of a panic inside a template's function.
func safely(run func() (reflect.Value, error)) (value reflect.Value, err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case error:
			err = cause
		default:
			err = fmt.Errorf("%v", cause)
		}
	}()
	return run()
}

func fixed(function reflect.Type) int {
	if function.IsVariadic() {
		return function.NumIn() - 1
	}
	return function.NumIn()
}

func acceptsCount(function reflect.Type, n int) bool {
	return n == fixed(function) || (function.IsVariadic() && n > fixed(function))
}

// parameterType is the type of the argument at i.
func parameterType(function reflect.Type, i int) reflect.Type {
	if i >= fixed(function) {
		return function.In(fixed(function)).Elem()
	}
	return function.In(i)
}

// argument returns the value of a term for a parameter of the type.
func (f *frame) argument(dot reflect.Value, kind reflect.Type, node parse.Node) (reflect.Value, error) {
	var err error
	value := reflect.New(kind).Elem()
	switch n := node.(type) {
	case *parse.NilNode:
		if !nilable(kind) {
			err = fmt.Errorf("nil cannot be a %s", kind)
		}
	case *parse.BoolNode, *parse.NumberNode, *parse.StringNode:
		if kind.Kind() == reflect.Interface && kind.NumMethod() == 0 {
			return f.operand(dot, n)
		}
		err = setConstant(value, n)
	default:
		if value, err = f.operand(dot, n); err != nil {
			return value, err
		}
		return f.fit(n, value, kind)
	}
	if err != nil {
		return value, f.fail(node, "%w", err)
	}
	return value, nil
}

var errConstant = errors.New("the constant has another type than the parameter")

func setConstant(to reflect.Value, node parse.Node) error {
	switch n := node.(type) {
	case *parse.BoolNode:
		if to.Kind() == reflect.Bool {
			to.SetBool(n.True)
			return nil
		}
	case *parse.StringNode:
		if to.Kind() == reflect.String {
			to.SetString(n.Text)
			return nil
		}
	case *parse.NumberNode:
		return setNumber(to, n)
	}
	return fmt.Errorf("%w: %s for a %s", errConstant, node, to.Type())
}

func setNumber(to reflect.Value, n *parse.NumberNode) error {
	switch {
	case to.CanInt() && n.IsInt:
		to.SetInt(n.Int64)
	case to.CanUint() && n.IsUint:
		to.SetUint(n.Uint64)
	case to.CanFloat() && n.IsFloat:
		to.SetFloat(n.Float64)
	case to.CanComplex() && n.IsComplex:
		to.SetComplex(n.Complex128)
	default:
		return fmt.Errorf("%w: %s for a %s", errConstant, n, to.Type())
	}
	return nil
}

// fit returns the value as a function's parameter takes it.
func (f *frame) fit(n parse.Node, value reflect.Value, kind reflect.Type) (reflect.Value, error) {
	switch {
	case !value.IsValid() && nilable(kind):
		return reflect.Zero(kind), nil
	case !value.IsValid():
		return value, f.fail(n, "there is no value, a %s is wanted", kind)
	case value.Type().AssignableTo(kind):
		return value, nil
	}
	inner := concrete(value)
	switch {
	case !inner.IsValid():
	case inner.Type().AssignableTo(kind):
		return inner, nil
	case inner.Kind() == reflect.Pointer && !inner.IsNil() && inner.Type().Elem().AssignableTo(kind):
		return inner.Elem(), nil
	}
	return value, f.fail(n, "the value is a %s, a %s is wanted", value.Type(), kind)
}

// nilable reports whether nothing can stand for a value of the type.
func nilable(kind reflect.Type) bool {
	switch kind.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return true
	}
	return false
}
