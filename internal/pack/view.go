package pack

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// view is the dot of a pack's templates: what the functions var, meta and so
// on are given.
type view struct {
	pack   *pack
	values map[string]any
}

// lookup returns a variable or, with dots, a part of one. It is strict where
// nomad-pack returns an empty text, so var and must_var are the same.
func lookup(path string, v *view) (any, error) {
	return walk("variable", path, v.values)
}

func allValues(v *view) map[string]any { return maps.Clone(v.values) }

// meta returns a part of metadata.hcl, such as pack.version.
func meta(path string, v *view) (any, error) {
	found, err := walk("metadata", path, metas(v))
	if err != nil {
		return nil, err
	}
	if _, group := found.(map[string]any); group {
		return nil, fmt.Errorf("metadata %q is a group: name one of its keys", path)
	}
	return found, nil
}

func metas(v *view) map[string]any {
	m := v.pack.metadata
	return map[string]any{
		"app": map[string]any{"url": m.App.URL},
		"pack": map[string]any{
			"name":        m.Pack.Name,
			"description": m.Pack.Description,
			"version":     m.Pack.Version,
		},
	}
}

// walk follows a dotted path through maps.
func walk(what, path string, tree map[string]any) (any, error) {
	var found any = tree
	for _, name := range strings.Split(path, ".") {
		level, ok := found.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s %q: %q is asked of a value that has no parts", what, path, name)
		}
		if found, ok = level[name]; !ok {
			known := slices.Sorted(maps.Keys(level))
			return nil, fmt.Errorf("there is no %s %q%s", what, path, tasks.DidYouMean(name, known))
		}
	}
	return found, nil
}
