package fields

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// Field is one param of a deploy task and a task that sets it.
type Field struct {
	// Name is the param's path as docs/events.md writes it: networks[].portNumber.
	Name string
	// Base is the name of the task that Params are put on.
	Base string
	// Params are JSON; each replaces the base's param of the same name whole.
	Params string
	// Goes says where the value goes where it changes none of the files; empty
	// where it changes one.
	Goes string
	// Shown names the tests that show the value at work, beside the golden files.
	Shown []string
}

// Base is a task that fields are put on.
type Base struct {
	Name string
	// On is the base that this one's Params are put on; empty for none.
	On string
	// Kind is the task's kind; empty takes that of On.
	Kind   string
	Params string
}

// All lists the fields in the order of docs/events.md.
func All() []Field {
	var all []Field
	for _, part := range [][]Field{identity, placement, vault, registry, networks, services, jobs, sources} {
		all = append(all, part...)
	}
	return all
}

// Task returns the body of the task that sets the field.
func (f Field) Task() ([]byte, error) { return task(f.Base, f.Params) }

// Task returns the body of the base's own task.
func (b Base) Task() ([]byte, error) { return task(b.Name, "{}") }

func task(base, params string) ([]byte, error) {
	kind, all, err := paramsOf(base)
	if err != nil {
		return nil, err
	}
	if err := put(all, params); err != nil {
		return nil, fmt.Errorf("params on base %s: %w", base, err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(map[string]any{"task": kind, "params": all})
	return out.Bytes(), err
}

func paramsOf(name string) (kind string, all map[string]json.RawMessage, err error) {
	for _, b := range Bases {
		if b.Name != name {
			continue
		}
		all = map[string]json.RawMessage{}
		if b.On != "" {
			if kind, all, err = paramsOf(b.On); err != nil {
				return "", nil, err
			}
		}
		if b.Kind != "" {
			kind = b.Kind
		}
		return kind, all, put(all, b.Params)
	}
	return "", nil, fmt.Errorf("no base is called %q", name)
}

func put(all map[string]json.RawMessage, params string) error {
	var more map[string]json.RawMessage
	if err := json.Unmarshal([]byte(params), &more); err != nil {
		return err
	}
	maps.Copy(all, more)
	return nil
}
