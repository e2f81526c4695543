package pack

import (
	"github.com/zclconf/go-cty/cty"
)

// goValue returns the value as templates see it in nomad-pack: whole numbers
// are int, others float64, sequences are []any or, where each element has
// attributes, []map[string]any.
func goValue(v cty.Value) any {
	kind := v.Type()
	switch {
	case v.IsNull():
		return nil
	case kind == cty.String:
		return v.AsString()
	case kind == cty.Bool:
		return v.True()
	case kind == cty.Number:
		return goNumber(v)
	case kind.IsMapType() || kind.IsObjectType():
		return goMap(v)
	case ofMaps(kind):
		maps := []map[string]any{}
		for _, element := range v.AsValueSlice() {
			maps = append(maps, goMap(element))
		}
		return maps
	default:
		list := []any{}
		for _, element := range v.AsValueSlice() {
			list = append(list, goValue(element))
		}
		return list
	}
}

func goNumber(v cty.Value) any {
	number := v.AsBigFloat()
	if whole, accuracy := number.Int64(); accuracy == 0 {
		return int(whole)
	}
	rounded, _ := number.Float64()
	return rounded
}

func goMap(v cty.Value) map[string]any {
	if v.IsNull() {
		return nil
	}
	out := make(map[string]any, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		out[key.AsString()] = goValue(element)
	}
	return out
}

// ofMaps reports whether each element of the sequence type is a map or an object.
func ofMaps(kind cty.Type) bool {
	if kind.IsTupleType() {
		for _, element := range kind.TupleElementTypes() {
			if !element.IsMapType() && !element.IsObjectType() {
				return false
			}
		}
		return kind.Length() > 0
	}
	element := kind.ElementType()
	return element.IsMapType() || element.IsObjectType()
}
