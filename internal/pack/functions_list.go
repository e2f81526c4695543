package pack

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

func listFunctions() map[string]any {
	list := func(values ...any) []any { return values }
	functions := map[string]any{"list": list, "tuple": list, "concat": concat}
	for name, function := range map[string]any{
		"append":  appended,
		"push":    appended,
		"prepend": prepended,
		"first":   func(list any) (any, error) { return at(list, 0) },
		"last":    func(list any) (any, error) { return at(list, -1) },
		"rest":    func(list any) ([]any, error) { return cut(list, 1, 0) },
		"initial": func(list any) ([]any, error) { return cut(list, 0, 1) },
		"reverse": reversed,
		"uniq":    uniq,
		"without": without,
		"compact": compact,
		"has":     has,
		"slice":   part,
		"chunk":   chunk,
	} {
		functions[name] = function
		functions["must"+string(name[0]-'a'+'A')+name[1:]] = function
	}
	return functions
}

func dictFunctions() map[string]any {
	return map[string]any{
		"dict":   dict,
		"get":    get,
		"set":    func(d map[string]any, key string, v any) map[string]any { d[key] = v; return d },
		"unset":  func(d map[string]any, key string) map[string]any { delete(d, key); return d },
		"hasKey": func(d map[string]any, key string) bool { _, ok := d[key]; return ok },
		"pluck":  pluck,
		"pick":   pick,
		"omit":   omit,
		"dig":    dig,
	}
}

// elements returns a list of whatever type as one of any.
func elements(list any) ([]any, error) {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, fmt.Errorf("a %T is not a list", list)
	}
	items := make([]any, v.Len())
	for i := range items {
		items[i] = v.Index(i).Interface()
	}
	return items, nil
}

func appended(list, v any) ([]any, error) {
	items, err := elements(list)
	return append(items, v), err
}

func prepended(list, v any) ([]any, error) {
	items, err := elements(list)
	return append([]any{v}, items...), err
}

func concat(lists ...any) (any, error) {
	var all []any
	for _, list := range lists {
		items, err := elements(list)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return all, nil
}

// at returns an element, from the end where i is negative; nil of an empty list.
func at(list any, i int) (any, error) {
	items, err := elements(list)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	return items[(i+len(items))%len(items)], nil
}

// cut drops elements at both ends; an empty list gives nil.
func cut(list any, front, back int) ([]any, error) {
	items, err := elements(list)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	return items[front : len(items)-back], nil
}

func reversed(list any) ([]any, error) {
	items, err := elements(list)
	slices.Reverse(items)
	return items, err
}

func uniq(list any) ([]any, error) {
	items, err := elements(list)
	kept := []any{}
	for _, item := range items {
		if !holds(kept, item) {
			kept = append(kept, item)
		}
	}
	return kept, err
}

func holds(list []any, wanted any) bool {
	return slices.ContainsFunc(list, func(item any) bool { return reflect.DeepEqual(item, wanted) })
}

func without(list any, unwanted ...any) ([]any, error) {
	items, err := elements(list)
	return slices.DeleteFunc(items, func(item any) bool { return holds(unwanted, item) }), err
}

func compact(list any) ([]any, error) {
	items, err := elements(list)
	return slices.DeleteFunc(items, isEmpty), err
}

func has(wanted, list any) (bool, error) {
	if list == nil {
		return false, nil
	}
	items, err := elements(list)
	return holds(items, wanted), err
}

// part is list[from:to].
func part(list any, bounds ...any) (any, error) {
	items, err := elements(list)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	from, to := 0, len(items)
	if len(bounds) > 0 {
		from = int(toInt(bounds[0]))
	}
	if len(bounds) > 1 {
		to = int(toInt(bounds[1]))
	}
	if from < 0 || from > to || to > len(items) {
		return nil, fmt.Errorf("%d to %d is no part of a list of %d", from, to, len(items))
	}
	return reflect.ValueOf(list).Slice(from, to).Interface(), nil
}

func chunk(size int, list any) ([][]any, error) {
	items, err := elements(list)
	if err != nil || size < 1 {
		return nil, fmt.Errorf("a %T cannot be cut into pieces of %d", list, size)
	}
	return slices.AppendSeq([][]any{}, slices.Chunk(items, size)), nil
}

// dict makes a map of keys and values that follow each other.
func dict(pairs ...any) map[string]any {
	d := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		d[toText(pair[0])] = ""
		if len(pair) == 2 {
			d[toText(pair[0])] = pair[1]
		}
	}
	return d
}

// get returns the key's value, or an empty text.
func get(d map[string]any, key string) any {
	if v, ok := d[key]; ok {
		return v
	}
	return ""
}

func pluck(key string, dicts ...map[string]any) []any {
	found := []any{}
	for _, d := range dicts {
		if v, ok := d[key]; ok {
			found = append(found, v)
		}
	}
	return found
}

func pick(d map[string]any, keys ...string) map[string]any {
	kept := map[string]any{}
	for _, key := range keys {
		if v, ok := d[key]; ok {
			kept[key] = v
		}
	}
	return kept
}

func omit(d map[string]any, keys ...string) map[string]any {
	kept := map[string]any{}
	maps.Copy(kept, d)
	maps.DeleteFunc(kept, func(key string, _ any) bool { return slices.Contains(keys, key) })
	return kept
}

// dig follows keys into maps: the keys, what stands for a missing one, the map.
func dig(args ...any) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("dig takes keys, a default and a map, it is given %d arguments", len(args))
	}
	keys, missing, found := args[:len(args)-2], args[len(args)-2], args[len(args)-1]
	for _, key := range keys {
		level, isMap := found.(map[string]any)
		name, isText := key.(string)
		if !isMap || !isText {
			return nil, fmt.Errorf("dig cannot look for %v in a %T", key, found)
		}
		next, ok := level[name]
		if !ok {
			return missing, nil
		}
		found = next
	}
	return found, nil
}
