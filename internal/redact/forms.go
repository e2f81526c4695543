package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
)

const (
	// minRaw is the shortest secret that is hidden. Hiding shorter ones would
	// blank out ordinary text.
	minRaw = prefixLen
	// minEncoded is the shortest secret that is hidden in encoded form: six bytes
	// leave at least seven base64 characters that depend on nothing else, and
	// fewer would be found by chance.
	minEncoded = 6
	// minLine is the shortest line of a secret of several lines that is hidden on
	// its own.
	minLine = 8
)

// forms returns every text that a viewer could read one of the secrets from.
func forms(secrets []string) map[string]struct{} {
	set := map[string]struct{}{}
	for _, s := range secrets {
		addForms(set, s)
	}
	return set
}

// addForms adds the secret and each line of it, raw and encoded. Encodings that break their
// output into lines are hidden only as far as one line holds a whole secret.
func addForms(set map[string]struct{}, secret string) {
	addEncodings(set, secret)
	addEncodings(set, strings.TrimSpace(secret))
	if !strings.ContainsAny(secret, "\r\n") {
		return
	}
	for line := range strings.FieldsFuncSeq(secret, func(c rune) bool { return c == '\r' || c == '\n' }) {
		if line = strings.TrimSpace(line); len(line) >= minLine {
			addEncodings(set, line)
		}
	}
}

func addEncodings(set map[string]struct{}, s string) {
	// A value of nothing but asterisks is a mask that somebody fed back.
	if len(s) < minRaw || strings.Trim(s, "*") == "" {
		return
	}
	set[s] = struct{}{}
	if len(s) < minEncoded {
		return
	}
	for _, encode := range []func(string) []string{base64Forms, hexForms, percentForms, quotedForms} {
		for _, form := range encode(s) {
			set[form] = struct{}{}
		}
	}
}

// base64Forms returns s in base64 as it looks on its own and at each of the
// three offsets in a longer text (in "user:secret", say): the characters that s
// alone decides. The one before and the one after hold at most four bits of it.
func base64Forms(s string) []string {
	var forms []string
	for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, alphabet.EncodeToString([]byte(s)))
		for offset := range 3 {
			text := alphabet.EncodeToString(append(make([]byte, offset), s...))
			first, end := (offset*8+5)/6, (offset+len(s))*8/6
			forms = append(forms, text[first:end])
		}
	}
	return forms
}

func hexForms(s string) []string {
	lower := hex.EncodeToString([]byte(s))
	return []string{lower, strings.ToUpper(lower)}
}

// keptUnescaped are the characters, beside letters, digits and -._~, that the
// usual URL escapers leave alone: none (a query in Go), a path segment in Go,
// userinfo in Go, a component in JavaScript, a whole path.
var keptUnescaped = []string{"", "$&+=:@", "$&+,;=", "!'()*", "/", "/$&+,;=:@"}

func percentForms(s string) []string {
	var forms []string
	for _, digits := range []string{"0123456789ABCDEF", "0123456789abcdef"} {
		for _, kept := range keptUnescaped {
			form := percent(s, digits, func(c byte) bool { return unreserved(c) || strings.IndexByte(kept, c) >= 0 })
			forms = append(forms, form, strings.ReplaceAll(form, "%20", "+"))
		}
		forms = append(forms, percent(s, digits, func(byte) bool { return false }))
	}
	return forms
}

func percent(s, digits string, keep func(byte) bool) string {
	out := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		if c := s[i]; keep(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("-._~", c) >= 0
}

// quotedForms returns s as it stands inside the quotes of JSON (with and
// without HTML and ASCII escapes, and JSON in JSON), of Go and of a shell.
func quotedForms(s string) []string {
	plain, html := jsonText(s, false), jsonText(s, true)
	goText, goASCII := strconv.Quote(s), strconv.QuoteToASCII(s)
	return []string{
		plain, html, jsonASCII(plain), jsonASCII(html),
		strings.ReplaceAll(plain, "/", `\/`), jsonText(plain, false), jsonText(html, true),
		goText[1 : len(goText)-1], goASCII[1 : len(goASCII)-1],
		strings.ReplaceAll(s, "'", `'\''`),
	}
}

// jsonText returns s as JSON without the quotes around it.
func jsonText(s string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if err := enc.Encode(s); err != nil { // a string always encodes
		return s
	}
	return b.String()[1 : b.Len()-len("\"\n")]
}

// jsonASCII escapes what is not ASCII in JSON text the way most encoders other
// than Go's do.
func jsonASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff
			b.WriteString(`\u` + hex4(high) + `\u` + hex4(low))
		default:
			b.WriteString(`\u` + hex4(r))
		}
	}
	return b.String()
}

func hex4(r rune) string {
	s := "000" + strconv.FormatInt(int64(r), 16)
	return s[len(s)-4:]
}
