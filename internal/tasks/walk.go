package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// decoder reads one task. It goes on after a problem, so that the sender
// learns of all of them at once and the task's identity is read where it can be.
type decoder struct {
	kind     Kind
	reason   Reason
	findings []finding
	reported map[string]bool
	secrets  []string
}

func newDecoder() *decoder {
	return &decoder{reason: ReasonInvalidTask, reported: map[string]bool{}}
}

// report notes a problem, unless the same field has one already.
func (d *decoder) report(path, format string, values ...shown) {
	d.reportFinding(finding{path: path, format: format, values: values})
}

func (d *decoder) reportFinding(f finding) {
	place := f.path + "\x00" + f.key
	if d.reported[place] {
		return
	}
	d.reported[place] = true
	d.findings = append(d.findings, f)
}

// has reports whether the field has a problem.
func (d *decoder) has(path string) bool { return d.reported[path+"\x00"] }

// mismatch reports a wrong type. Only a scalar is shown: an object or list may
// hold secrets at places that we do not know.
func (d *decoder) mismatch(at place, want string, raw json.RawMessage) {
	f := finding{path: at.path, key: at.key, format: "expected " + want + ", got %s"}
	f.values = []shown{word(jsonType(raw))}
	if value, ok := scalar(raw); ok && !at.rule.hidden {
		f.values[0] = value
	}
	d.reportFinding(f)
}

// shapeless reports what is no object or list where one belongs. It is not
// shown: it may be the same object once more encoded, with secrets inside.
func (d *decoder) shapeless(at place, want string, raw json.RawMessage) {
	at.rule.hidden = true
	d.mismatch(at, want, raw)
}

// place is where in the task a value stands and what its tag demands.
type place struct {
	path string
	key  string
	rule fieldRule
}

// members splits an object into its fields. Of a field that is given twice the
// last counts. Names are compared exactly.
func members(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	if jsonType(raw) != "an object" {
		return nil, false
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, false
	}
	return fields, true
}

// object decodes an object's fields into a struct.
func (d *decoder) object(raw json.RawMessage, into reflect.Value, at place) {
	fields, ok := members(raw)
	if !ok {
		d.shapeless(at, "an object", raw)
		return
	}
	for i := range into.NumField() {
		field := into.Type().Field(i)
		name := field.Tag.Get("json")
		below := place{path: at.path + "." + name, rule: ruleOf(field)}
		if below.rule.concerns(d.kind) {
			d.field(fields[name], into.Field(i), below)
		}
	}
}

// field decodes one field of a struct. Absent and null are the same, except
// where the type tells them apart.
func (d *decoder) field(raw json.RawMessage, into reflect.Value, at place) {
	if raw != nil && (!isNull(raw) || readsNull(into)) {
		d.value(raw, into, at)
	}
	if at.rule.requiredOf(d.kind) && isEmpty(into) {
		d.report(at.path, "missing")
	}
}

// readsNull reports whether null means something to the type: 0 to an integer,
// null itself to a Text.
func readsNull(into reflect.Value) bool {
	switch into.Interface().(type) {
	case Int, *Int, Text:
		return true
	}
	return false
}

// value decodes a JSON value into whatever stands there.
func (d *decoder) value(raw json.RawMessage, into reflect.Value, at place) {
	switch target := into.Addr().Interface().(type) {
	case *Int:
		d.integer(raw, target, at)
	case *Bool:
		d.boolean(raw, target, at)
	case *Text:
		d.text(raw, target, at)
	case *Secret:
		d.secret(raw, target, at)
	case *string:
		d.str(raw, target, at)
	default:
		d.composite(raw, into, at)
	}
}

func (d *decoder) composite(raw json.RawMessage, into reflect.Value, at place) {
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(raw, into.Elem(), at)
	case reflect.Struct:
		d.object(raw, into, at)
	case reflect.Slice:
		d.list(raw, into, at)
	case reflect.Map:
		d.texts(raw, into, at)
	default:
		// A new kind of field without a decoder is a defect of ours that every
		// test of the type finds; it must not pass as an absent value.
		d.report(at.path, "dispatchd cannot read this field")
	}
}

func (d *decoder) list(raw json.RawMessage, into reflect.Value, at place) {
	var items []json.RawMessage
	if jsonType(raw) != "a list" || json.Unmarshal(raw, &items) != nil {
		d.shapeless(at, "a list", raw)
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
	for i, item := range items {
		d.value(item, into.Index(i), place{path: fmt.Sprintf("%s[%d]", at.path, i), rule: at.rule})
	}
}

// texts decodes an object whose values are strings, in the order of its keys.
func (d *decoder) texts(raw json.RawMessage, into reflect.Value, at place) {
	fields, ok := members(raw)
	if !ok {
		d.shapeless(at, "an object of strings", raw)
		return
	}
	into.Set(reflect.MakeMapWithSize(into.Type(), len(fields)))
	for _, key := range sortedKeys(fields) {
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(fields[key], value, place{path: at.path, key: key, rule: at.rule})
		into.SetMapIndex(reflect.ValueOf(key), value)
	}
}

func sortedKeys[V any](fields map[string]V) []string {
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// jsonType names the type of a valid JSON value.
func jsonType(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a bool"
	case 'n':
		return "null"
	}
	return "a number"
}

func isNull(raw json.RawMessage) bool { return jsonType(raw) == "null" }

// scalar returns how a message shows a JSON scalar.
func scalar(raw json.RawMessage) (shown, bool) {
	switch jsonType(raw) {
	case "an object", "a list", "nothing":
		return shown{}, false
	case "a string":
		text, _ := unquote(raw)
		return quoted(text), true
	}
	return word(strings.TrimSpace(string(raw))), true
}

// unquote returns the text of a JSON string.
func unquote(raw json.RawMessage) (string, bool) {
	if jsonType(raw) != "a string" {
		return "", false
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", false
	}
	return text, true
}
