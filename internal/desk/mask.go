package desk

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// maxText is how much is shown of a body that cannot be read, in bytes.
const maxText = 4096

// words are what the names of secrets hold.
const words = `pass|pwd|token|secret|credential|private|api_?-?key|auth|signature|cookie|session|bearer|jwt`

var (
	secretName = regexp.MustCompile(`(?i)` + words)
	// secretForm is what shows by itself that it is a secret.
	secretForm = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)` +
		`|\b(?:gh[pousr]_|github_pat_|glpat-|hv[sb]\.|xox[abpr]-|AKIA|sk_live_|eyJ[A-Za-z0-9_-]{8,}\.)[^\s"']+`)
	scheme = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[^\s"']+`)
	// pair is a secret's name and what is said to be its value, as JSON, also
	// where that is quoted once more or cut off, as an assignment or as a query.
	pair = regexp.MustCompile(`(?i)(\\*["']?[\w.-]*(?:` + words + `|buildArgs|staticBuildEnv|content|sourceUrl|Address|backendUrl)[\w.-]*\\*["']?\s*[:=]\s*)` +
		`(\\+"[^"\\]*(?:\\+"|$)|"(?:[^"\\]|\\.)*(?:"|\\?$)|'[^']*(?:'|$)|\{[^}]*(?:\}|$)|\[[^\]]*(?:\]|$)|[^\s,;}&]+)`)
	// assignment is the same where the text around was understood.
	assignment = regexp.MustCompile(`(?i)([\w.-]*(?:` + words + `)[\w.-]*["']?\s*[:=]\s*)("[^"]*(?:"|$)|'[^']*(?:'|$)|[^\s,;&]+)`)
	// blob is anything long enough to be a secret, or to hold one in base64.
	blob = regexp.MustCompile(`[A-Za-z0-9+/_=-]{20,}`)
)

// masker hides the secrets of one dead letter: by the names of fields where the
// body can be read, by their looks where it cannot.
type masker struct {
	sights  map[string]tasks.Sight
	secrets []string
}

// body returns the letter's body without its secrets: as JSON, or as text where
// it cannot be read.
func (k *masker) body(raw []byte) (json.RawMessage, string) {
	tree, ok := parse(raw)
	if !ok {
		tree, ok = parse(unbase64(string(raw)))
	}
	if !ok {
		return nil, k.unreadable(raw)
	}
	fields, isObject := tree.(map[string]any)
	if !isObject {
		return nil, fmt.Sprintf("(%d bytes of JSON that are no object)", len(raw))
	}
	k.openParams(fields)
	masked := k.walk("", fields)
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(everywhere(k.redactor(), masked)); err != nil {
		return nil, fmt.Sprintf("(%d bytes of JSON that cannot be shown)", len(raw))
	}
	return bytes.TrimSpace(out.Bytes()), ""
}

// redactor hides what was found so far. A hostile body may repeat it often.
func (k *masker) redactor() *redact.Redactor {
	slices.Sort(k.secrets)
	k.secrets = slices.Compact(k.secrets)
	return redact.New(k.secrets...)
}

// everywhere hides the secrets that were found wherever else they stand.
func everywhere(hide *redact.Redactor, value any) any {
	switch v := value.(type) {
	case map[string]any:
		shown := make(map[string]any, len(v))
		for key, below := range v {
			shown[hide.String(key)] = everywhere(hide, below)
		}
		return shown
	case []any:
		for i := range v {
			v[i] = everywhere(hide, v[i])
		}
		return v
	case string:
		return hide.String(v)
	case json.Number:
		if hide.String(v.String()) != v.String() {
			return redact.Mask
		}
	}
	return value
}

// openParams puts params that came as a text in its place as an object.
func (k *masker) openParams(fields map[string]any) {
	text, isText := fields["params"].(string)
	if !isText {
		return
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return
	}
	if object, ok := tasks.ParamsObject(quoted); ok {
		fields["params"], _ = parse(object)
		return
	}
	fields["params"] = fmt.Sprintf("%s (%d characters that are neither JSON nor base64 of JSON)", redact.Mask, utf8.RuneCountInString(text))
}

// walk returns a value as it may be shown. Name is that of the field it stands in.
func (k *masker) walk(name string, value any) any {
	switch sight := k.sight(name); v := value.(type) {
	case map[string]any:
		shown := make(map[string]any, len(v))
		for key, below := range v {
			if sight != tasks.SightOpen {
				shown[key] = k.hide(below)
			} else {
				shown[key] = k.walk(key, below)
			}
		}
		return shown
	case []any:
		shown := make([]any, len(v))
		for i, below := range v {
			shown[i] = k.walk(name, below)
		}
		return shown
	case string:
		return k.text(sight, v)
	default:
		if sight == tasks.SightOpen {
			return v
		}
		return k.hide(v)
	}
}

// sight is what may be seen of a field; names that no task has are judged by
// their looks.
func (k *masker) sight(name string) tasks.Sight {
	if sight, known := k.sights[name]; known {
		return sight
	}
	if secretName.MatchString(name) {
		return tasks.SightSecret
	}
	return tasks.SightOpen
}

// hide masks whatever stands there; what is empty stays, it is no secret.
func (k *masker) hide(value any) any {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		if v == "" {
			return v
		}
		k.secrets = append(k.secrets, v)
	case map[string]any:
		for _, below := range v {
			k.hide(below)
		}
	case []any:
		for _, below := range v {
			k.hide(below)
		}
	case json.Number:
		k.secrets = append(k.secrets, v.String())
	}
	return redact.Mask
}

// text returns a string as it may be shown.
func (k *masker) text(sight tasks.Sight, text string) any {
	if sight == tasks.SightHidden {
		if u, err := url.Parse(text); err == nil && u.Scheme != "" && u.Host != "" {
			if u.User != nil || u.RawQuery != "" {
				k.secrets = append(k.secrets, text)
			}
			return u.Scheme + "://" + u.Host
		}
	}
	if sight != tasks.SightOpen {
		return k.hide(text)
	}
	if inner, ok := parse([]byte(text)); ok {
		switch inner.(type) {
		case map[string]any, []any:
			return k.walk("", inner)
		}
	}
	if decoded := unbase64(text); len(text) >= 16 && readable(decoded) {
		return k.hide(text)
	}
	return inText(text)
}

// inText hides what looks like a secret inside a text that is none.
func inText(text string) string {
	text = redact.URL(text)
	text = secretForm.ReplaceAllString(text, redact.Mask)
	text = scheme.ReplaceAllString(text, "$1 "+redact.Mask)
	return assignment.ReplaceAllString(text, "${1}"+redact.Mask)
}

// unreadable shows what can be shown of a body that is no JSON: nobody knows
// where its secrets stand, so that everything that could be one is hidden.
func (k *masker) unreadable(raw []byte) string {
	if decoded := unbase64(string(raw)); readable(decoded) {
		return fmt.Sprintf("(%d bytes of base64 of a text that is no JSON)", len(raw))
	}
	if !readable(raw) {
		return fmt.Sprintf("(%d bytes that are no text)", len(raw))
	}
	text, more := clipEnd(raw)
	text = secretForm.ReplaceAllString(text, redact.Mask)
	for _, found := range pair.FindAllStringSubmatch(text, -1) {
		k.secrets = append(k.secrets, strings.Trim(found[2], `\"'`))
	}
	text = pair.ReplaceAllString(text, "${1}"+redact.Mask)
	text = k.cutEnd(k.redactor().String(text))
	text = scheme.ReplaceAllString(redact.URL(text), "$1 "+redact.Mask)
	text = blob.ReplaceAllString(text, redact.Mask)
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = redact.CleanLine(lines[i])
	}
	text = strings.Join(lines, "\n")
	if more > 0 {
		text += fmt.Sprintf("\n(%d bytes more)", more)
	}
	return text
}

// clipEnd returns the first part of a text, up to a space, and how many bytes it
// leaves out: a piece of a word may be a piece of a secret.
func clipEnd(raw []byte) (text string, more int) {
	if len(raw) <= maxText {
		return string(raw), 0
	}
	end := max(bytes.LastIndexAny(raw[:maxText], " \t\n,"), 0)
	return string(raw[:end]), len(raw) - end
}

// cutEnd hides the beginning of a known secret at which a text was cut off.
func (k *masker) cutEnd(text string) string {
	for _, secret := range k.secrets {
		for n := len(secret) - 1; n >= 4; n-- {
			if before, cut := strings.CutSuffix(text, secret[:n]); cut {
				return before + redact.Mask
			}
		}
	}
	return text
}

// headers returns the letter's headers without their secrets.
func (k *masker) headers(header map[string][]string) map[string][]string {
	hide := k.redactor()
	shown := map[string][]string{}
	for name, values := range header {
		for _, value := range values {
			if secretName.MatchString(name) {
				value = redact.Mask
			}
			shown[name] = append(shown[name], redact.CleanLine(hide.String(inText(value))))
		}
	}
	return shown
}

// parse reads JSON, numbers as they came; false where it is none.
func parse(raw []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var tree any
	if len(raw) == 0 || decoder.Decode(&tree) != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return tree, err == io.EOF
}

// unbase64 decodes either alphabet, padded or not; nil where it is neither.
func unbase64(text string) []byte {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "").Replace(strings.TrimRight(strings.TrimSpace(text), "="))
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return decoded
}

// readable reports whether bytes are text for people.
func readable(raw []byte) bool {
	if len(raw) == 0 || !utf8.Valid(raw) {
		return false
	}
	for _, r := range string(raw) {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}
