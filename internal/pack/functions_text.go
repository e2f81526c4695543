package pack

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The functions below have the names, the order of arguments and the results
// of sprig's, which nomad-pack offers. Their last argument is the one that a
// pipeline fills in.

func textFunctions() map[string]any {
	return map[string]any{
		"trim":       strings.TrimSpace,
		"upper":      strings.ToUpper,
		"lower":      strings.ToLower,
		"trimAll":    func(cut, s string) string { return strings.Trim(s, cut) },
		"trimall":    func(cut, s string) string { return strings.Trim(s, cut) },
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
		"contains":   func(part, s string) bool { return strings.Contains(s, part) },
		"hasPrefix":  func(prefix, s string) bool { return strings.HasPrefix(s, prefix) },
		"hasSuffix":  func(suffix, s string) bool { return strings.HasSuffix(s, suffix) },
		"replace":    func(from, to, s string) string { return strings.ReplaceAll(s, from, to) },
		"repeat":     repeat,
		"trunc":      truncate,
		"substr":     substring,
		"indent":     indent,
		"nindent":    func(spaces int, s string) string { return "\n" + indent(spaces, s) },
		"quote":      func(values ...any) string { return spaced(values, "%q") },
		"squote":     func(values ...any) string { return spaced(values, "'%s'") },
		"cat":        func(values ...any) string { return strings.TrimSpace(spaced(values, "%s")) },
		"plural":     func(one, many string, n int) string { return map[bool]string{true: one, false: many}[n == 1] },
		"toString":   toText,
		"toStrings":  toTexts,
		"join":       func(between string, list any) string { return strings.Join(toTexts(list), between) },
		"sortAlpha":  func(list any) []string { return slices.Sorted(slices.Values(toTexts(list))) },
		"splitList":  func(at, s string) []string { return strings.Split(s, at) },
		"split":      func(at, s string) map[string]string { return numbered(strings.Split(s, at)) },
		"splitn":     func(at string, n int, s string) map[string]string { return numbered(strings.SplitN(s, at, n)) },
		"base":       path.Base,
		"dir":        path.Dir,
		"clean":      path.Clean,
		"ext":        path.Ext,
		"isAbs":      path.IsAbs,
		"b64enc":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"b64dec":     decodeBase64,
		"sha256sum":  sha256Hex,
	}
}

func regexFunctions() map[string]any {
	find := func(pattern *regexp.Regexp, s string) string { return pattern.FindString(s) }
	match := func(pattern *regexp.Regexp, s string) bool { return pattern.MatchString(s) }
	return map[string]any{
		"regexMatch":                 matching(match),
		"mustRegexMatch":             matching(match),
		"regexFind":                  matching(find),
		"mustRegexFind":              matching(find),
		"regexReplaceAll":            replacing((*regexp.Regexp).ReplaceAllString),
		"mustRegexReplaceAll":        replacing((*regexp.Regexp).ReplaceAllString),
		"regexReplaceAllLiteral":     replacing((*regexp.Regexp).ReplaceAllLiteralString),
		"mustRegexReplaceAllLiteral": replacing((*regexp.Regexp).ReplaceAllLiteralString),
		"regexFindAll":               splitting((*regexp.Regexp).FindAllString),
		"mustRegexFindAll":           splitting((*regexp.Regexp).FindAllString),
		"regexSplit":                 splitting((*regexp.Regexp).Split),
		"mustRegexSplit":             splitting((*regexp.Regexp).Split),
		"regexQuoteMeta":             regexp.QuoteMeta,
	}
}

func matching[T any](do func(*regexp.Regexp, string) T) func(string, string) (T, error) {
	return func(pattern, s string) (result T, err error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return result, err
		}
		return do(compiled, s), nil
	}
}

func replacing(do func(*regexp.Regexp, string, string) string) func(string, string, string) (string, error) {
	return func(pattern, s, by string) (string, error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return "", err
		}
		return do(compiled, s, by), nil
	}
}

func splitting(do func(*regexp.Regexp, string, int) []string) func(string, string, int) ([]string, error) {
	return func(pattern, s string, n int) ([]string, error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return do(compiled, s, n), nil
	}
}

func repeat(n int, s string) (string, error) {
	if n < 0 || (len(s) > 0 && n > maxText/len(s)) {
		return "", fmt.Errorf("a text of %d bytes cannot be repeated %d times", len(s), n)
	}
	return strings.Repeat(s, n), nil
}

// truncate keeps the first n bytes, or the last where n is negative.
func truncate(n int, s string) string {
	switch {
	case n >= 0 && n < len(s):
		return s[:n]
	case n < 0 && len(s)+n > 0:
		return s[len(s)+n:]
	}
	return s
}

// substring is s[start:end], where an end that is negative or too large is the
// end of s.
func substring(start, end int, s string) (string, error) {
	if start >= 0 && (end < 0 || end > len(s)) {
		end = len(s)
	}
	if start = max(start, 0); start > end || end > len(s) {
		return "", fmt.Errorf("%d to %d is no part of a text of %d bytes", start, end, len(s))
	}
	return s[start:end], nil
}

func indent(spaces int, s string) string {
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad)
}

// spaced writes the values, but nil, with a space between them.
func spaced(values []any, format string) string {
	var written []string
	for _, v := range values {
		if v != nil {
			written = append(written, fmt.Sprintf(format, toText(v)))
		}
	}
	return strings.Join(written, " ")
}

func toText(v any) string {
	if bytes, ok := v.([]byte); ok {
		return string(bytes)
	}
	return fmt.Sprint(v)
}

// toTexts makes a list of texts of a list, without its nils, or of one value.
func toTexts(v any) []string {
	texts := []string{}
	if v == nil {
		return texts
	}
	list := reflect.ValueOf(v)
	if kind := list.Kind(); kind != reflect.Slice && kind != reflect.Array {
		return []string{toText(v)}
	}
	for i := range list.Len() {
		if element := list.Index(i).Interface(); element != nil {
			texts = append(texts, toText(element))
		}
	}
	return texts
}

// numbered names the parts _0, _1 and so on.
func numbered(parts []string) map[string]string {
	named := make(map[string]string, len(parts))
	for i, part := range parts {
		named["_"+strconv.Itoa(i)] = part
	}
	return named
}

func decodeBase64(s string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("the text %s is not base64", shown(s))
	}
	return string(decoded), nil
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
