package tasks

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// String returns the text without quotes: a number as it was written, nothing
// for null and absent.
func (t Text) String() string {
	if text, ok := unquote(t.Raw); ok {
		return text
	}
	if jsonType(t.Raw) != "a number" {
		return ""
	}
	return string(t.Raw)
}

// integer reads 456, "456", "" and null. A fraction or an exponent is none.
func (d *decoder) integer(raw json.RawMessage, into *Int, at place) {
	digits := string(bytes.TrimSpace(raw))
	if text, ok := unquote(raw); ok {
		digits = text
	}
	if digits == "" || isNull(raw) {
		*into = 0
		return
	}
	if !isDecimal(digits) {
		d.mismatch(at, "an integer", raw)
		return
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || at.rule.ranged && (number < at.rule.min || number > at.rule.max) {
		d.mismatch(at, at.rule.limits(), raw)
		return
	}
	*into = Int(number)
}

// limits names the integers that a field may hold.
func (r fieldRule) limits() string {
	if !r.ranged {
		return "an integer of 64 bits"
	}
	return "an integer from " + strconv.FormatInt(r.min, 10) + " to " + strconv.FormatInt(r.max, 10)
}

// isDecimal reports whether the text is digits, with a minus or without.
func isDecimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// boolean reads true, false, "true", "false", and "" as false.
func (d *decoder) boolean(raw json.RawMessage, into *Bool, at place) {
	switch string(bytes.TrimSpace(raw)) {
	case "true", `"true"`:
		*into = true
	case "false", `"false"`, `""`:
		*into = false
	default:
		d.mismatch(at, "true or false", raw)
	}
}

// text keeps a string, a number or null as it came.
func (d *decoder) text(raw json.RawMessage, into *Text, at place) {
	switch kind := jsonType(raw); {
	case kind == "a string", kind == "null", kind == "a number" && !at.rule.stringOnly:
		into.Raw = bytes.Clone(bytes.TrimSpace(raw))
	case at.rule.stringOnly:
		d.mismatch(at, "a string", raw)
	default:
		d.mismatch(at, "a string or a number", raw)
	}
}

// str reads a string and, where the field has one, checks its enumeration.
func (d *decoder) str(raw json.RawMessage, into *string, at place) {
	text, ok := unquote(raw)
	if !ok {
		d.mismatch(at, "a string", raw)
		return
	}
	if text != "" && text == at.rule.aliasOld {
		text = at.rule.aliasNew
	}
	if !at.rule.allows(text) {
		d.mismatch(at, "one of "+strings.Join(at.rule.accepted(), ", "), raw)
		return
	}
	*into = text
}

// allows reports whether the text is one of the field's values.
func (r fieldRule) allows(text string) bool {
	if r.enum == nil || text == "" {
		return true
	}
	for _, value := range r.enum {
		if value == text {
			return true
		}
	}
	return false
}

// secret reads a string and remembers it, so that no message of the same task
// shows it. A wrong type is named, its value never.
func (d *decoder) secret(raw json.RawMessage, into *Secret, at place) {
	text, ok := unquote(raw)
	if !ok {
		at.rule.hidden = true
		d.mismatch(at, "a string", raw)
		d.remember(strings.TrimSpace(string(raw)))
		return
	}
	*into = Secret(text)
	d.remember(text)
}

func (d *decoder) remember(secret string) {
	if secret != "" {
		d.secrets = append(d.secrets, secret)
	}
}
