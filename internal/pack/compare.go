package pack

import (
	"cmp"
	"fmt"
	"reflect"
)

// basic groups the kinds that can be compared with each other.
type basic int

const (
	other basic = iota
	boolean
	signed
	unsigned
	float
	complexNumber
	text
)

func basicOf(v reflect.Value) basic {
	switch {
	case v.Kind() == reflect.Bool:
		return boolean
	case v.CanInt():
		return signed
	case v.CanUint():
		return unsigned
	case v.CanFloat():
		return float
	case v.CanComplex():
		return complexNumber
	case v.Kind() == reflect.String:
		return text
	default:
		return other
	}
}

// eq reports whether the first argument is one of the others.
func eq(args []reflect.Value) (reflect.Value, error) {
	for _, arg := range args[1:] {
		same, err := equal(args[0], arg)
		if err != nil || same {
			return reflect.ValueOf(same), err
		}
	}
	return reflect.ValueOf(false), nil
}

func ne(args []reflect.Value) (reflect.Value, error) {
	same, err := equal(args[0], args[1])
	return reflect.ValueOf(!same), err
}

func lt(args []reflect.Value) (reflect.Value, error) {
	before, err := less(args[0], args[1])
	return reflect.ValueOf(before), err
}

func le(args []reflect.Value) (reflect.Value, error) {
	notAfter, err := lessOrEqual(args[0], args[1])
	return reflect.ValueOf(notAfter), err
}

// gt is the inverse of le, and ge of lt, also where NaN makes neither true.
func gt(args []reflect.Value) (reflect.Value, error) {
	notAfter, err := lessOrEqual(args[0], args[1])
	return reflect.ValueOf(!notAfter), err
}

func ge(args []reflect.Value) (reflect.Value, error) {
	before, err := less(args[0], args[1])
	return reflect.ValueOf(!before), err
}

func equal(a, b reflect.Value) (bool, error) {
	switch kind := basicOf(a); {
	case !a.IsValid() || !b.IsValid():
		return isNil(a) && isNil(b), nil
	case kind != basicOf(b):
		return equalIntegers(a, b)
	case kind == other:
		return equalOthers(a, b)
	case kind == boolean:
		return a.Bool() == b.Bool(), nil
	case kind == complexNumber:
		return a.Complex() == b.Complex(), nil
	case kind == float:
		return a.Float() == b.Float(), nil
	default:
		return compare(a, b) == 0, nil
	}
}

// equalIntegers compares a signed number with an unsigned one.
func equalIntegers(a, b reflect.Value) (bool, error) {
	if isInteger(a.Kind()) && isInteger(b.Kind()) {
		return compare(a, b) == 0, nil
	}
	return false, incomparable(a, b)
}

// equalOthers compares lists, maps and functions with nil, and pointers.
func equalOthers(a, b reflect.Value) (bool, error) {
	switch {
	case a.Kind() != b.Kind():
		return false, incomparable(a, b)
	case isNil(a) || isNil(b):
		return isNil(a) && isNil(b), nil
	case !b.Type().Comparable():
		return false, incomparable(a, b)
	default:
		return a.Interface() == b.Interface(), nil
	}
}

func isNil(v reflect.Value) bool {
	return !v.IsValid() || (nilable(v.Type()) && v.IsNil())
}

func less(a, b reflect.Value) (bool, error) {
	ka, kb := basicOf(a), basicOf(b)
	switch {
	case ka == float && kb == float:
		return a.Float() < b.Float(), nil
	case ka == text && kb == text, isInteger(a.Kind()) && isInteger(b.Kind()):
		return compare(a, b) < 0, nil
	default:
		return false, incomparable(a, b)
	}
}

func lessOrEqual(a, b reflect.Value) (bool, error) {
	before, err := less(a, b)
	if before || err != nil {
		return before, err
	}
	return equal(a, b)
}

// compare orders two texts, or two integers of either sign.
func compare(a, b reflect.Value) int {
	switch {
	case a.Kind() == reflect.String:
		return cmp.Compare(a.String(), b.String())
	case a.CanInt() && b.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint() && b.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanUint():
		return -compare(b, a)
	case a.Int() < 0:
		return -1
	default:
		return cmp.Compare(uint64(a.Int()), b.Uint())
	}
}

func incomparable(a, b reflect.Value) error {
	return fmt.Errorf("%s cannot be compared with %s", typeName(a), typeName(b))
}
