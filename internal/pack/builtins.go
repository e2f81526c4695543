package pack

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"text/template"
)

// builtin is a function of the template language itself: values sees the
// arguments as they are, function has parameters. One with neither is and, or.
type builtin struct {
	least    int
	variadic bool
	function any
	values   func([]reflect.Value) (reflect.Value, error)
}

var builtins = map[string]builtin{
	"and":      {least: 1, variadic: true},
	"or":       {least: 1, variadic: true},
	"not":      {least: 1, values: not},
	"len":      {least: 1, values: length},
	"index":    {least: 1, variadic: true, values: index},
	"slice":    {least: 1, variadic: true, values: slice},
	"call":     {least: 1, variadic: true, values: callValue},
	"eq":       {least: 2, variadic: true, values: eq},
	"ne":       {least: 2, values: ne},
	"lt":       {least: 2, values: lt},
	"le":       {least: 2, values: le},
	"gt":       {least: 2, values: gt},
	"ge":       {least: 2, values: ge},
	"print":    {variadic: true, function: fmt.Sprint},
	"printf":   {least: 1, variadic: true, function: fmt.Sprintf},
	"println":  {variadic: true, function: fmt.Sprintln},
	"html":     {variadic: true, function: template.HTMLEscaper},
	"js":       {variadic: true, function: template.JSEscaper},
	"urlquery": {variadic: true, function: template.URLQueryEscaper},
}

func builtinNames() []string { return slices.Collect(maps.Keys(builtins)) }

// truth is false for nothing, zero and what is empty.
func truth(v reflect.Value) bool {
	v = concrete(v)
	if !v.IsValid() {
		return false
	}
	is, _ := template.IsTrue(v.Interface())
	return is
}

// printable returns what fmt prints for a value; false for a function, whose
// address would be printed.
func printable(v reflect.Value) (any, bool) {
	if !v.IsValid() {
		return "<no value>", true
	}
	if speaks(v.Type()) {
		return v.Interface(), true
	}
	v, _ = indirect(v)
	return v.Interface(), v.Kind() != reflect.Func && v.Kind() != reflect.Chan
}

// speaks reports whether the type has a text of its own.
func speaks(kind reflect.Type) bool {
	return kind.Implements(reflect.TypeFor[fmt.Stringer]()) || kind.Implements(reflect.TypeFor[error]())
}

func not(args []reflect.Value) (reflect.Value, error) {
	return reflect.ValueOf(!truth(args[0])), nil
}

func length(args []reflect.Value) (reflect.Value, error) {
	item, _ := indirect(args[0])
	switch item.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return reflect.ValueOf(item.Len()), nil
	}
	return reflect.Value{}, fmt.Errorf("%s has no length", typeName(item))
}

// index is x[a][b]… of maps, lists and strings. Unlike a field, a key that a
// map does not have gives the zero value.
func index(args []reflect.Value) (reflect.Value, error) {
	item := args[0]
	if !item.IsValid() {
		return reflect.Value{}, fmt.Errorf("nothing has no elements")
	}
	for _, key := range args[1:] {
		var err error
		item, _ = indirect(item)
		switch item.Kind() {
		case reflect.Map:
			item, err = mapElement(item, key)
		case reflect.Array, reflect.Slice, reflect.String:
			item, err = listElement(item, key)
		default:
			err = fmt.Errorf("%s has no elements", typeName(item))
		}
		if err != nil {
			return reflect.Value{}, err
		}
	}
	return item, nil
}

func mapElement(m, key reflect.Value) (reflect.Value, error) {
	key, err := asType(key, m.Type().Key())
	if err != nil {
		return reflect.Value{}, err
	}
	if element := m.MapIndex(key); element.IsValid() {
		return element, nil
	}
	return reflect.Zero(m.Type().Elem()), nil
}

func listElement(list, key reflect.Value) (reflect.Value, error) {
	at, err := position(key, list.Len()-1)
	if err != nil {
		return reflect.Value{}, err
	}
	return list.Index(at), nil
}

// position returns an index from 0 to most.
func position(key reflect.Value, most int) (int, error) {
	switch {
	case key.CanInt() && key.Int() >= 0 && key.Int() <= int64(most):
		return int(key.Int()), nil
	case key.CanUint() && most >= 0 && key.Uint() <= uint64(most):
		return int(key.Uint()), nil
	case key.CanInt() || key.CanUint():
		return 0, fmt.Errorf("the index %v is out of range", key)
	}
	return 0, fmt.Errorf("%s is no index", typeName(key))
}

// slice is x[a:b:c] of lists and strings.
func slice(args []reflect.Value) (reflect.Value, error) {
	item, _ := indirect(args[0])
	if len(args) > 4 {
		return reflect.Value{}, fmt.Errorf("%d bounds are too many", len(args)-1)
	}
	if item.Kind() != reflect.Slice && item.Kind() != reflect.String {
		return reflect.Value{}, fmt.Errorf("%s cannot be cut", typeName(item))
	}
	most, bounds := item.Len(), []int{0, item.Len()}
	if item.Kind() == reflect.Slice {
		most = item.Cap()
	}
	for i, key := range args[1:] {
		at, err := position(key, most)
		if err != nil {
			return reflect.Value{}, err
		}
		if i == len(bounds) {
			bounds = append(bounds, at)
		}
		bounds[i] = at
	}
	if !slices.IsSorted(bounds) || (len(bounds) == 3 && item.Kind() == reflect.String) {
		return reflect.Value{}, fmt.Errorf("%v are no bounds of %s", bounds, typeName(item))
	}
	if len(bounds) == 3 {
		return item.Slice3(bounds[0], bounds[1], bounds[2]), nil
	}
	return item.Slice(bounds[0], bounds[1]), nil
}

// callValue calls its first argument with the others.
func callValue(args []reflect.Value) (reflect.Value, error) {
	function := args[0]
	if function.Kind() != reflect.Func {
		return reflect.Value{}, fmt.Errorf("%s is not a function", typeName(function))
	}
	if !acceptsCount(function.Type(), len(args)-1) {
		return reflect.Value{}, fmt.Errorf("%s does not take %d arguments", typeName(function), len(args)-1)
	}
	converted := make([]reflect.Value, len(args)-1)
	for i, arg := range args[1:] {
		var err error
		if converted[i], err = asType(arg, parameterType(function.Type(), i)); err != nil {
			return reflect.Value{}, err
		}
	}
	return invoke(function, converted)
}

// asType returns the value as the type; between integers it may change.
func asType(v reflect.Value, kind reflect.Type) (reflect.Value, error) {
	switch {
	case !v.IsValid() && nilable(kind):
		return reflect.Zero(kind), nil
	case v.IsValid() && v.Type().AssignableTo(kind):
		return v, nil
	case v.IsValid() && isInteger(v.Kind()) && isInteger(kind.Kind()):
		return v.Convert(kind), nil
	}
	return reflect.Value{}, fmt.Errorf("%s is not a %s", typeName(v), kind)
}

func isInteger(kind reflect.Kind) bool { return kind >= reflect.Int && kind <= reflect.Uintptr }

// typeName is how an error calls a value.
func typeName(v reflect.Value) string {
	if !v.IsValid() {
		return "nothing"
	}
	return "a value of type " + v.Type().String()
}
