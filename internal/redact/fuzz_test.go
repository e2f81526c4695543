package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// plant returns the secret in one form, between before and after, and the part
// of it that must not come out.
func plant(form byte, before, secret, after string) (text, hidden string) {
	wrap := func(encoded string) (string, string) { return before + encoded + after, encoded }
	base := func(enc *base64.Encoding) (string, string) {
		text := enc.EncodeToString([]byte(before + secret + after))
		return text, text[(len(before)*8+5)/6 : (len(before)+len(secret))*8/6]
	}
	switch form % 9 {
	case 1:
		return base(base64.StdEncoding)
	case 2:
		return base(base64.RawURLEncoding)
	case 3:
		return wrap(hex.EncodeToString([]byte(secret)))
	case 4:
		return wrap(strings.ToUpper(hex.EncodeToString([]byte(secret))))
	case 5:
		return wrap(url.QueryEscape(secret))
	case 6:
		return wrap(url.PathEscape(secret))
	case 7:
		b, _ := json.Marshal(secret)
		return wrap(string(b[1 : len(b)-1]))
	case 8:
		q := strconv.Quote(secret)
		return wrap(q[1 : len(q)-1])
	}
	return wrap(secret)
}

func FuzzRedactor(f *testing.F) {
	for form := range byte(9) {
		f.Add(form, byte(3), "user:", hostile, " after", "ghp_0123456789")
	}
	f.Add(byte(0), byte(1), "aaa", "aaaaaaa", "aaaa", "aaaaaaaab")
	f.Add(byte(0), byte(5), "", "-----BEGIN-----\nabcdefghij\nxyz\n", "abcdefghij", "xyzxyz")
	f.Fuzz(func(t *testing.T, form, chunk byte, before, secret, after, other string) {
		if len(secret) < 6 || strings.Contains(secret+other, "*") {
			t.Skip("too short to be hidden encoded, or made of what masks are made of")
		}
		r := redact.New(other).With(secret)
		text, hidden := plant(form, before, secret, after)
		got := r.String(text)
		if strings.Contains(got, hidden) {
			t.Errorf("String(%q) = %q holds %q", text, got, hidden)
		}
		if !strings.Contains(got, redact.Mask) {
			t.Errorf("String(%q) = %q has no mask", text, got)
		}
		if streamed := stream(t, r, text, int(chunk)+1); streamed != got {
			t.Errorf("%q in chunks of %d = %q, whole %q", text, int(chunk)+1, streamed, got)
		}
		// Moved to another plane of Unicode, the text holds no secret.
		clean := strings.Map(func(c rune) rune { return c | 0x40000 }, before+after)
		if got := redact.New("plain-secret").String(clean); got != clean {
			t.Errorf("text without secrets: %q became %q", clean, got)
		}
	})
}
