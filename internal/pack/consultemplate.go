package pack

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The functions ct… write text into a consul-template, which Nomad's client
// carries out. What they return is inert there and in a heredoc: base64, or a
// text of an alphabet without quotes, braces, $ and %.

var (
	envName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	serviceLabel = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	parameter    = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9.*_-]*$`)
)

// ctText returns an expression whose value is the text, whatever it holds.
func ctText(s string) string {
	if s == "" {
		return `""`
	}
	return `(base64Decode "` + base64.StdEncoding.EncodeToString([]byte(s)) + `")`
}

// ctName returns the name of an environment variable as it is; an empty one
// is the caller's business.
func ctName(what, s string) (string, error) {
	if s != "" && !envName.MatchString(s) {
		return "", refuse("%s %s is not a name of letters, digits and _", what, shown(s))
	}
	return s, nil
}

// ctService returns the name of a service in quotes.
func ctService(what, s string) (string, error) {
	if !serviceLabel.MatchString(s) {
		return "", refuse("%s %s is not the name of a service", what, shown(s))
	}
	return `"` + s + `"`, nil
}

// ctPath returns a path of Vault in quotes.
func ctPath(what, s string) (string, error) {
	if !tasks.ValidVaultPath(s) {
		return "", refuse("%s %s is not a path in Vault", what, shown(s))
	}
	return `"` + s + `"`, nil
}

// ctParameter returns name=value in quotes, for a request to Vault.
func ctParameter(name, s string) (string, error) {
	if !parameter.MatchString(s) {
		return "", refuse("%s %s may hold letters, digits, dots, dashes and * only", name, shown(s))
	}
	return `"` + name + "=" + s + `"`, nil
}

// placeholder is what a pattern has filled in: {{ $NAME }}, ${NAME},
// {{ .Address }} or {{ .Port }}.
var placeholder = regexp.MustCompile(`\{\{-?\s*(?:\$(\w+)|\.(Address|Port))\s*-?\}\}|\$\{(\w+)\}`)

// ctPattern returns a pattern as an expression over $secret and $service. Only
// the linked names and the service's address and port are filled in; all other
// text is the value's own.
func ctPattern(pattern string, linked []any) map[string]any {
	var format strings.Builder
	var parts []string
	secret, service := false, false
	add := func(expression string) {
		format.WriteString("%v")
		parts = append(parts, expression)
	}
	rest := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(pattern, -1) {
		name := submatch(pattern, at, 1) + submatch(pattern, at, 3)
		field := submatch(pattern, at, 2)
		if field == "" && !slices.Contains(linked, any(name)) {
			continue
		}
		if at[0] > rest {
			add(ctText(pattern[rest:at[0]]))
		}
		rest = at[1]
		if field != "" {
			service = true
			add("$service." + field)
			continue
		}
		secret = true
		add(`(or (index $secret "` + name + `") "")`)
	}
	if rest < len(pattern) || len(parts) == 0 {
		add(ctText(pattern[rest:]))
	}
	expression := fmt.Sprintf(`printf "%s" %s | toJSON`, format.String(), strings.Join(parts, " "))
	return map[string]any{"expression": expression, "secret": secret, "service": service}
}

func submatch(s string, at []int, n int) string {
	if at[2*n] < 0 {
		return ""
	}
	return s[at[2*n]:at[2*n+1]]
}

// fromBase64 decodes with or without padding and line breaks.
func fromBase64(what, s string) (string, error) {
	compact := strings.TrimRight(strings.NewReplacer("\n", "", "\r", "", " ", "").Replace(s), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(compact)
	if err != nil {
		return "", refuse("%s is not base64", what)
	}
	return string(decoded), nil
}
