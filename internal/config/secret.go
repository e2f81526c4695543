package config

import (
	"fmt"
	"io"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// Secret is a value that must never be seen: however it is printed, formatted
// or marshalled, it comes out as ***. Reveal is the only way to the text.
type Secret string

// Reveal returns the text of the secret.
func (s Secret) Reveal() string { return string(s) }

// Set reports whether the secret holds any text.
func (s Secret) Set() bool { return s != "" }

// String returns ***, or nothing where the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redact.Mask
}

// GoString keeps %#v from showing the text.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Format keeps the verbs that do not fit a string from showing the text, too.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text) // fmt keeps the state's errors to itself
}

// MarshalJSON writes the mask, never the text.
func (s Secret) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", s.String()), nil }

// MarshalText writes the mask, never the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
