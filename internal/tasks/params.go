package tasks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxDepth is how deep a task's JSON may nest: the deepest params need six.
const maxDepth = 64

// params returns the params as an object, whichever of the three forms they
// came in; nil where there are none.
func (d *decoder) params(raw json.RawMessage) json.RawMessage {
	switch jsonType(raw) {
	case "nothing", "null":
		d.report("params", "missing")
		return nil
	case "an object":
		return raw
	case "a string":
		text, _ := unquote(raw)
		return d.paramsText(text)
	}
	d.report("params", "failed to parse: expected an object, got %s", word(jsonType(raw)))
	return nil
}

// paramsText reads params that came as a text: JSON or base64 of JSON. What
// stands inside must be the object itself, not a text once more. The text is
// never shown, it may hold secrets.
func (d *decoder) paramsText(text string) json.RawMessage {
	text = strings.TrimSpace(text)
	raw := json.RawMessage(text)
	if !json.Valid(raw) {
		raw = fromBase64(text)
	}
	if raw == nil {
		d.report("params", "failed to parse: neither JSON nor base64 of JSON")
		return nil
	}
	if err := checkJSON(raw); err != nil {
		d.report("params", "failed to parse: %s", word(err.Error()))
		return nil
	}
	if kind := jsonType(raw); kind != "an object" {
		d.report("params", "failed to parse: the text holds %s, expected an object", word(kind))
		return nil
	}
	d.checkShape("params", raw)
	return raw
}

// fromBase64 decodes either alphabet, padded or not; nil where it is neither.
func fromBase64(text string) json.RawMessage {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(decoded) == 0 {
		return nil
	}
	return decoded
}

// checkJSON says where a text stops being JSON. The decoder's own words would
// quote a character of the text.
func checkJSON(raw []byte) error {
	var syntax *json.SyntaxError
	var whole json.RawMessage
	err := json.Unmarshal(raw, &whole)
	if errors.As(err, &syntax) {
		return fmt.Errorf("no valid JSON at byte %d of %d", syntax.Offset, len(raw))
	}
	return err
}

// depthOf counts how deep valid JSON nests.
func depthOf(raw []byte) int {
	depth, deepest := 0, 0
	inString, escaped := false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}
