package pack

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"text/template/parse"
)

// loop runs the body for each element, or the else part where there is none.
func (f *frame) loop(dot reflect.Value, n *parse.RangeNode) error {
	defer f.leave(len(f.variables))
	value, err := f.pipeline(dot, n.Pipe)
	if err != nil {
		return err
	}
	elements, err := f.elements(n, value)
	if err != nil {
		return err
	}
	empty := true
	for key, element := range elements {
		empty = false
		if err := f.iterate(n, key, element); err != nil {
			return unless(errBreak, err)
		}
	}
	if empty && n.ElseList != nil {
		return f.walk(dot, n.ElseList)
	}
	return nil
}

func (f *frame) iterate(n *parse.RangeNode, key, element reflect.Value) error {
	if err := f.bind(n.Pipe, key, element); err != nil {
		return err
	}
	defer f.leave(len(f.variables))
	return unless(errContinue, f.walk(element, n.List))
}

// unless returns nil in the place of the signal.
func unless(signal, err error) error {
	if errors.Is(err, signal) {
		return nil
	}
	return err
}

// bind gives the variables of a range their next values: the element alone, or
// the key and the element. Those that the range declares stand last in the frame.
func (f *frame) bind(pipe *parse.PipeNode, key, element reflect.Value) error {
	values := []reflect.Value{key, element}[2-len(pipe.Decl):]
	first := len(f.variables) - len(pipe.Decl)
	for i, n := range pipe.Decl {
		if !pipe.IsAssign {
			f.variables[first+i].value = values[i]
			continue
		}
		if err := f.assign(n, values[i]); err != nil {
			return err
		}
	}
	return nil
}

// elements returns what a range goes through. Nothing is an empty list.
func (f *frame) elements(n *parse.RangeNode, value reflect.Value) (iter.Seq2[reflect.Value, reflect.Value], error) {
	value, _ = indirect(value)
	switch {
	case !value.IsValid():
		return func(func(reflect.Value, reflect.Value) bool) {}, nil
	case value.Kind() == reflect.Map:
		return sortedPairs(value), nil
	case value.Kind() == reflect.Slice || value.Kind() == reflect.Array:
		return value.Seq2(), nil
	case (value.CanInt() || value.CanUint()) && len(n.Pipe.Decl) > 1:
		return nil, f.fail(n, "a range over a number has one variable")
	case value.CanInt() || value.CanUint():
		return numbers(value), nil
	}
	return nil, f.fail(n, "range cannot go through a value of type %s", value.Type())
}

func numbers(limit reflect.Value) iter.Seq2[reflect.Value, reflect.Value] {
	return func(yield func(reflect.Value, reflect.Value) bool) {
		for number := range limit.Seq() {
			if !yield(reflect.Value{}, number) {
				return
			}
		}
	}
}

func sortedPairs(m reflect.Value) iter.Seq2[reflect.Value, reflect.Value] {
	keys := slices.SortedFunc(slices.Values(m.MapKeys()), compareKeys)
	return func(yield func(reflect.Value, reflect.Value) bool) {
		for _, key := range keys {
			if !yield(key, m.MapIndex(key)) {
				return
			}
		}
	}
}

func compareKeys(a, b reflect.Value) int {
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanFloat():
		return cmp.Compare(a.Float(), b.Float())
	default:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	}
}
