package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// Patterns of the schema.
const (
	tokenPattern   = "^[A-Za-z0-9_-]{1,128}$"
	integerPattern = "^(-?[0-9]+)?$"
	countPattern   = "^[0-9]*$"
)

// schema is the part of JSON Schema that describes a task. Its fields stand in
// the order in which they are printed.
type schema struct {
	Dialect     string    `json:"$schema,omitempty"`
	Title       string    `json:"title,omitempty"`
	Description string    `json:"description,omitempty"`
	Ref         string    `json:"$ref,omitempty"`
	Type        any       `json:"type,omitempty"`
	Const       string    `json:"const,omitempty"`
	Enum        []any     `json:"enum,omitempty"`
	Default     any       `json:"default,omitempty"`
	Pattern     string    `json:"pattern,omitempty"`
	MinLength   int       `json:"minLength,omitempty"`
	Minimum     *int64    `json:"minimum,omitempty"`
	Maximum     *int64    `json:"maximum,omitempty"`
	Items       *schema   `json:"items,omitempty"`
	MinItems    int       `json:"minItems,omitempty"`
	Properties  schemaMap `json:"properties,omitempty"`
	Additional  *schema   `json:"additionalProperties,omitempty"`
	Required    []string  `json:"required,omitempty"`
	AnyOf       []*schema `json:"anyOf,omitempty"`
	OneOf       []*schema `json:"oneOf,omitempty"`
	Defs        schemaMap `json:"$defs,omitempty"`
}

// schemaMap is an object of schemas that keeps its order.
type schemaMap []namedSchema

type namedSchema struct {
	name   string
	schema *schema
}

// MarshalJSON writes the object in the map's order.
func (m schemaMap) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, entry := range m {
		if i > 0 {
			out.WriteByte(',')
		}
		value, err := marshalPlain(entry.schema)
		if err != nil {
			return nil, err
		}
		out.WriteString(strconv.Quote(entry.name) + ":")
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// Schema returns the JSON Schema (draft 2020-12) of every task, made from the
// types that Decode fills. It says less than Decode checks: what a pattern
// cannot say, such as git's rules for branches, is left to Decode.
func Schema() ([]byte, error) {
	root := &schema{
		Dialect:     "https://json-schema.org/draft/2020-12/schema",
		Title:       "dispatchd task",
		Description: "One task of the queue. Unknown fields are ignored; null is the same as absent unless the type says otherwise.",
	}
	for _, kind := range Kinds() {
		root.OneOf = append(root.OneOf, reference(string(kind)))
		root.Defs = append(root.Defs, namedSchema{string(kind), taskSchema(kind)})
	}
	root.Defs = append(root.Defs,
		namedSchema{"repository-params", paramsSchema(KindDeployRepository)},
		namedSchema{"image-params", paramsSchema(KindDeployImage)},
		namedSchema{"destroy-params", paramsSchema(KindDestroyJobPack)})
	compact, err := marshalPlain(root)
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("indent the schema: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// marshalPlain encodes without the escapes that HTML needs.
func marshalPlain(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSpace(out.Bytes()), err
}

func reference(name string) *schema { return &schema{Ref: "#/$defs/" + name} }

// paramsDef names the definition of a kind's params.
func paramsDef(kind Kind) string {
	switch {
	case kind.FromRepository():
		return "repository-params"
	case kind.IsDeploy():
		return "image-params"
	}
	return "destroy-params"
}

func taskSchema(kind Kind) *schema {
	text := &schema{Type: "string", MinLength: 1, Description: "The same object as JSON or as base64 of JSON."}
	return &schema{
		Type: "object",
		Properties: schemaMap{
			{"task", &schema{Const: string(kind)}},
			{"params", &schema{AnyOf: []*schema{reference(paramsDef(kind)), text}}},
			{"id", &schema{Type: orNull("string"), Pattern: tokenPattern, Description: "Identifies the request; the subject's last token stands where it is absent."}},
		},
		Required: []string{"task", "params"},
	}
}

func paramsSchema(kind Kind) *schema {
	if !kind.IsDeploy() {
		return structSchema(reflect.TypeFor[Destroy](), kind)
	}
	params := structSchema(reflect.TypeFor[Deploy](), kind)
	if kind.FromRepository() {
		params.AnyOf = []*schema{{Required: []string{"repository", "branch"}}, {Required: []string{"sourceUrl"}}}
	}
	return params
}

// structSchema describes a struct by its fields and their tags.
func structSchema(of reflect.Type, kind Kind) *schema {
	object := &schema{Type: "object"}
	for i := range of.NumField() {
		field := of.Field(i)
		rule := ruleOf(field)
		if !rule.concerns(kind) {
			continue
		}
		name := field.Tag.Get("json")
		property := fieldSchema(field.Type, rule, kind)
		property.Description = descriptions[of.Name()+"."+name]
		object.Properties = append(object.Properties, namedSchema{name, property})
		if rule.requiredOf(kind) {
			object.Required = append(object.Required, name)
		}
	}
	return object
}

// fieldSchema describes a field: its type, and null where it may be left out.
func fieldSchema(of reflect.Type, rule fieldRule, kind Kind) *schema {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	described := typeSchema(of, rule, kind)
	if rule.requiredOf(kind) {
		described.demand()
	} else if name, ok := described.Type.(string); ok {
		described.Type = orNull(name)
		if described.Enum != nil {
			described.Enum = append(described.Enum, "", nil)
		}
	}
	described.setDefault(of, rule)
	return described
}

// demand says that an empty value counts as a missing one.
func (s *schema) demand() {
	if s.Type == "array" {
		s.MinItems = 1
	} else if s.Enum == nil {
		s.MinLength = 1
	}
}

func (s *schema) setDefault(of reflect.Type, rule fieldRule) {
	if rule.byDefault == "" {
		return
	}
	s.Default = rule.byDefault
	if of == reflect.TypeFor[Int]() {
		s.Default = json.Number(rule.byDefault)
	}
}

// typeSchema describes a type, without null.
func typeSchema(of reflect.Type, rule fieldRule, kind Kind) *schema {
	switch of {
	case reflect.TypeFor[Int]():
		return integerSchema(rule)
	case reflect.TypeFor[Bool]():
		return &schema{AnyOf: []*schema{{Type: "boolean"}, {Enum: []any{"true", "false", "", nil}}}}
	case reflect.TypeFor[Text]():
		if rule.stringOnly {
			return &schema{Type: "string"}
		}
		return &schema{AnyOf: []*schema{{Type: "string"}, {Type: "number"}, {Type: "null"}}}
	}
	switch of.Kind() {
	case reflect.Struct:
		return structSchema(of, kind)
	case reflect.Slice:
		return &schema{Type: "array", Items: typeSchema(of.Elem(), fieldRule{}, kind)}
	case reflect.Map:
		return &schema{Type: "object", Additional: &schema{Type: "string"}}
	}
	return stringSchema(rule)
}

func stringSchema(rule fieldRule) *schema {
	described := &schema{Type: "string"}
	for _, value := range rule.accepted() {
		described.Enum = append(described.Enum, value)
	}
	return described
}

func integerSchema(rule fieldRule) *schema {
	whole, text := &schema{Type: "integer"}, &schema{Type: "string", Pattern: integerPattern}
	if rule.ranged {
		whole.Minimum, whole.Maximum = &rule.min, &rule.max
		text.Pattern = countPattern
	}
	return &schema{AnyOf: []*schema{whole, text, {Type: "null"}}}
}

func orNull(name string) []string { return []string{name, "null"} }
