package pack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

func valueFunctions() map[string]any {
	return map[string]any{
		"default":          orDefault,
		"empty":            isEmpty,
		"coalesce":         firstFilled,
		"all":              func(values ...any) bool { return !anyThat(true, values) },
		"any":              func(values ...any) bool { return anyThat(false, values) },
		"ternary":          func(yes, no any, which bool) any { return map[bool]any{true: yes, false: no}[which] },
		"toJson":           toJSON,
		"mustToJson":       toJSON,
		"toPrettyJson":     toPrettyJSON,
		"mustToPrettyJson": toPrettyJSON,
		"toRawJson":        toRawJSON,
		"mustToRawJson":    toRawJSON,
		"fromJson":         fromJSON,
		"mustFromJson":     fromJSON,
		"typeOf":           func(v any) string { return fmt.Sprintf("%T", v) },
		"typeIs":           func(name string, v any) bool { return name == fmt.Sprintf("%T", v) },
		"kindOf":           kindOf,
		"kindIs":           func(name string, v any) bool { return name == kindOf(v) },
		"deepEqual":        reflect.DeepEqual,
	}
}

func orDefault(standard any, given ...any) any {
	if len(given) == 0 || isEmpty(given[0]) {
		return standard
	}
	return given[0]
}

func isEmpty(v any) bool { return !truth(reflect.ValueOf(v)) }

func firstFilled(values ...any) any {
	for _, v := range values {
		if !isEmpty(v) {
			return v
		}
	}
	return nil
}

func anyThat(empty bool, values []any) bool {
	for _, v := range values {
		if isEmpty(v) == empty {
			return true
		}
	}
	return false
}

func toJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

func toPrettyJSON(v any) (string, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return string(text), err
}

// toRawJSON leaves <, > and & as they are.
func toRawJSON(v any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return strings.TrimSuffix(text.String(), "\n"), err
}

func fromJSON(s string) (any, error) {
	var v any
	err := json.Unmarshal([]byte(s), &v)
	return v, err
}

func kindOf(v any) string { return reflect.ValueOf(v).Kind().String() }
