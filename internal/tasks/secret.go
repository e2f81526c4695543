package tasks

import "fmt"

// masked is what a Secret shows instead of its value.
const masked = "***"

// Secret is a value that must never be seen: it prints, formats and marshals
// as ***. Reveal is the only way to the text.
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
	return masked
}

// GoString keeps %#v from showing the text.
func (s Secret) GoString() string { return fmt.Sprintf("tasks.Secret(%q)", s.String()) }

// MarshalJSON writes the mask, never the text.
func (s Secret) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", s.String()), nil }

// MarshalText writes the mask, never the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
