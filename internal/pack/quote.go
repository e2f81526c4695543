package pack

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// literal is the template function hcl: a value as constant HCL. Its result
// has been read back and means the same value.
func literal(v any) (string, error) { return write(v, stringLiteral) }

const (
	// longestArgument is what Linux takes as one argument of a program.
	longestArgument = 128<<10 - 1
	// mostSigns is how many $, % and line breaks a text of a task's config may
	// hold. The client's parser needs a time that grows with the square of their
	// number: a second for 20,000, minutes for what fits into a task.
	mostSigns = 4096
	// manySigns is from where on $ and % are written as escapes, which that
	// parser reads as fast as any other letter.
	manySigns = 64
)

func countSigns(s string) int { return strings.Count(s, "$") + strings.Count(s, "%") }

// driverLiteral is the template function hclDriver, for a task's config block.
// Nomad's client reads the strings of that block as HCL templates once more,
// so they are escaped twice.
func driverLiteral(v any) (string, error) {
	return write(v, func(s string) (string, error) {
		if len(s) > longestArgument {
			return "", refuse("the text %s has %d bytes: an argument of a program can have %d", shown(s), len(s), longestArgument)
		}
		if n := countSigns(s) + strings.Count(s, "\n"); n > mostSigns {
			return "", refuse("the text %s has %d of $, %% and line breaks: Nomad's client can read %d", shown(s), n, mostSigns)
		}
		escaped := escapeTemplate(s)
		if got, ok := readTemplate(escaped); !ok || got != s {
			return "", refuse("Nomad cannot carry the text %s to a container unchanged", shown(s))
		}
		return stringLiteral(escaped)
	})
}

// reference is what Nomad's client replaces in services, mounts and users; no
// escape keeps it from that.
var reference = regexp.MustCompile(`\$\{[a-zA-Z0-9_.-]+\}`)

// plainLiteral is the template function hclPlain, for a string in which
// Nomad's client replaces ${name}. It names what the text is in its refusal.
func plainLiteral(what string, v any) (string, error) {
	return write(v, func(s string) (string, error) {
		if found := reference.FindString(s); found != "" {
			return "", refuse("%s %s holds %s, which Nomad would replace: it cannot stand there", what, shown(s), found)
		}
		return stringLiteral(s)
	})
}

// durationLiteral is the template function hclDuration.
func durationLiteral(what, s string) (string, error) {
	if d, err := time.ParseDuration(s); err != nil || d < 0 {
		return "", refuse("%s %s is not a duration (such as 30s or 5m)", what, shown(s))
	}
	return stringLiteral(s)
}

// durationWithin returns the usual duration, or four fifths of the limit where
// the usual one does not fit below it. A limit of zero is none.
func durationWithin(usual, limit string) (string, error) {
	u, err := time.ParseDuration(usual)
	if err != nil {
		return "", err
	}
	if l, err := time.ParseDuration(limit); err == nil && l > 0 && u >= l {
		return (l * 4 / 5).String(), nil
	}
	return usual, nil
}

// write is the one way from a Go value to HCL; text says how a string is written.
func write(v any, text func(string) (string, error)) (string, error) {
	switch value := v.(type) {
	case string:
		return text(value)
	case bool:
		return strconv.FormatBool(value), nil
	case int:
		return strconv.Itoa(value), nil
	case int64:
		return strconv.FormatInt(value, 10), nil
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), nil
	case []string:
		return writeList(value, text)
	case []any:
		return writeList(value, text)
	case []map[string]any:
		return writeList(value, text)
	case map[string]any:
		return writeMap(value, text)
	default:
		return "", fmt.Errorf("a value of type %T cannot be written as HCL", v)
	}
}

func writeList[T any](list []T, text func(string) (string, error)) (string, error) {
	items := make([]string, len(list))
	for i, item := range list {
		written, err := write(item, text)
		if err != nil {
			return "", err
		}
		items[i] = written
	}
	return "[" + strings.Join(items, ", ") + "]", nil
}

func writeMap(m map[string]any, text func(string) (string, error)) (string, error) {
	var items []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		name, err := text(key)
		if err != nil {
			return "", err
		}
		value, err := write(m[key], text)
		if err != nil {
			return "", err
		}
		items = append(items, name+" = "+value)
	}
	return "{" + strings.Join(items, ", ") + "}", nil
}

// stringLiteral returns the string in quotes, having read it back.
func stringLiteral(s string) (string, error) {
	quoted := quote(s)
	expression, diags := hclsyntax.ParseExpression([]byte(quoted), "", hcl.InitialPos)
	if diags.HasErrors() || !utf8.ValidString(s) {
		return "", refuse("the text %s cannot be written to a job", shown(s))
	}
	if got, diags := expression.Value(nil); diags.HasErrors() || !isText(got, s) {
		return "", refuse("the text %s cannot be written to a job unchanged", shown(s))
	}
	return quoted, nil
}

func isText(v cty.Value, s string) bool { return v.Type() == cty.String && v.AsString() == s }

// quote writes a string as HCL on one line of printable text; nothing in it is
// interpolated.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	many := countSigns(s) > manySigns
	if !many {
		s = escapeTemplate(s)
	}
	for _, r := range s {
		switch {
		case many && (r == '$' || r == '%'):
			fmt.Fprintf(&b, `\u%04x`, r)
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case !unicode.IsPrint(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// templateEscapes are HCL's own; Nomad's client knows the same.
var templateEscapes = strings.NewReplacer("${", "$${", "%{", "%%{")

func escapeTemplate(s string) string { return templateEscapes.Replace(s) }

// readTemplate reads a text as Nomad's client reads a string of a task's config.
func readTemplate(s string) (string, bool) {
	expression, diags := hclsyntax.ParseTemplate([]byte(s), "", hcl.InitialPos)
	if diags.HasErrors() {
		return "", false
	}
	value, diags := expression.Value(nil)
	if diags.HasErrors() || value.Type() != cty.String {
		return "", false
	}
	return value.AsString(), true
}

// shown is a text as an error message may hold it: quoted, and where it is long
// cut at a blank. Within a word a cut might leave half of a secret, which
// nothing masks any more.
func shown(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		begin := string([]rune(s)[:most])
		s = begin[:strings.LastIndexFunc(begin, unicode.IsSpace)+1] + "…"
	}
	return strconv.Quote(s)
}
