package events

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// object writes a JSON object with its keys in the order of the calls, the way
// the backend's own language writes it: no spaces, and nothing escaped that
// need not be.
type object struct{ buf []byte }

func newObject() *object { return &object{buf: []byte{'{'}} }

func (o *object) key(name string) {
	if len(o.buf) > 1 {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(appendString(o.buf, name), ':')
}

func (o *object) text(name, value string) *object {
	o.key(name)
	o.buf = appendString(o.buf, value)
	return o
}

func (o *object) number(name string, value int64) *object {
	o.key(name)
	o.buf = strconv.AppendInt(o.buf, value, 10)
	return o
}

// passedOn writes a param as it came; an absent one is left out.
func (o *object) passedOn(name string, value tasks.Text) *object {
	if len(value.Raw) == 0 {
		return o
	}
	o.key(name)
	o.buf = appendScalar(o.buf, value.Raw)
	return o
}

// orEmpty writes a param as it came; an absent one and null are "".
func (o *object) orEmpty(name string, value tasks.Text) *object {
	if len(value.Raw) == 0 || string(value.Raw) == "null" {
		return o.text(name, "")
	}
	return o.passedOn(name, value)
}

func (o *object) bytes() []byte { return append(o.buf, '}') }

// appendScalar writes a JSON scalar; only a string is spelt anew.
func appendScalar(buf []byte, raw json.RawMessage) []byte {
	var text string
	if raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return appendString(buf, text)
	}
	return append(buf, raw...)
}

const hex = "0123456789abcdef"

// appendString writes a JSON string: quotes, backslashes and control
// characters are escaped, and nothing else; invalid UTF-8 becomes U+FFFD.
func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			buf = append(buf, '\\', byte(r))
		case r < 0x20:
			buf = appendControl(buf, byte(r))
		default:
			buf = utf8.AppendRune(buf, r)
		}
	}
	return append(buf, '"')
}

func appendControl(buf []byte, c byte) []byte {
	switch c {
	case '\b':
		return append(buf, `\b`...)
	case '\f':
		return append(buf, `\f`...)
	case '\n':
		return append(buf, `\n`...)
	case '\r':
		return append(buf, `\r`...)
	case '\t':
		return append(buf, `\t`...)
	}
	return append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}
