package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/traces"
)

// The two sources of a setting.
const (
	SourceEnvironment = "environment"
	SourceDefault     = "default"
)

// Setting is one variable as `dispatchd config` shows it.
type Setting struct {
	// Section groups the settings: "NATS", "Worker" …; empty for those on their own.
	Section string `json:"section,omitempty"`
	// Name is the variable's.
	Name string `json:"name"`
	// Value is the effective one; *** for a secret that is set.
	Value string `json:"value"`
	// Default is what holds where the variable is unset, or how it is worked out.
	Default string `json:"default"`
	// Source is SourceEnvironment or SourceDefault.
	Source string `json:"source"`
	// Description is one sentence without a full stop.
	Description string `json:"description"`
	// Secret says that the value is never shown.
	Secret bool `json:"secret"`
}

// Settings lists every variable with its effective value. Nothing in it is secret.
func Settings(c Config) []Setting {
	var list []Setting
	for _, f := range fieldsOf(&c) {
		_, secret := f.value.Interface().(Secret)
		s := Setting{
			Section: f.section, Name: f.name, Value: f.shown(), Default: f.defaultText(),
			Source: SourceDefault, Description: f.tag.Get("desc"), Secret: secret,
		}
		if c.set[f.name] {
			s.Source = SourceEnvironment
		}
		list = append(list, s)
	}
	return list
}

// shown returns the value as text, without what must not be seen.
func (f field) shown() string {
	text := ""
	switch v := f.value.Interface().(type) {
	case []string:
		text = strings.Join(v, ",")
	case time.Duration:
		text = durationText(v)
	default:
		text = fmt.Sprint(v)
	}
	if f.tag.Get("hide") == "url" {
		return redact.URL(text)
	}
	return text
}

// durationText writes a duration as one would into a file: 15m, not 15m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (f field) defaultText() string {
	if shown := f.tag.Get("shown"); shown != "" {
		return shown
	}
	return f.tag.Get("default")
}

// Secrets lists the texts that a redactor must hide: every Secret that is set,
// the password of each "user:password" and what URLs carry before their host.
func (c Config) Secrets() []string {
	var list []string
	for _, f := range fieldsOf(&c) {
		switch v := f.value.Interface().(type) {
		case Secret:
			if v.Set() && f.tag.Get("hide") != "text" {
				list = append(list, v.Reveal())
			}
		case []string:
			for _, s := range v {
				list = append(list, urlSecrets(s)...)
			}
		case string:
			list = append(list, urlSecrets(v)...)
		}
	}
	if _, password, found := strings.Cut(c.Nomad.HTTPAuth.Reveal(), ":"); found {
		list = append(list, password)
	}
	return append(list, traces.HeaderSecrets(c.Traces.Headers.Reveal())...)
}

// urlSecrets returns the password of a URL, or its user where that stands alone
// (NATS takes a token so), and the values of its query; as written and decoded.
func urlSecrets(s string) []string {
	_, rest, found := strings.Cut(s, "://")
	if !found {
		return nil
	}
	var list []string
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		_, password, hasPassword := strings.Cut(rest[:at], ":")
		if !hasPassword {
			password = rest[:at]
		}
		list = append(list, withDecoded(password)...)
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if _, value, found := strings.Cut(pair, "="); found {
			list = append(list, withDecoded(value)...)
		}
	}
	return list
}

func withDecoded(s string) []string {
	if decoded, err := url.PathUnescape(s); err == nil && decoded != s {
		return []string{s, decoded}
	}
	return []string{s}
}

// MarkdownTable returns the table of docs/configuration.md.
func MarkdownTable() string {
	var b strings.Builder
	b.WriteString("| Variable | Default | Meaning |\n| --- | --- | --- |\n")
	for _, s := range Settings(Config{}) {
		fallback := s.Default
		if fallback != "" && !strings.Contains(fallback, " ") {
			fallback = "`" + fallback + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, cell(fallback), cell(s.Description))
	}
	return b.String()
}

// cell escapes what would end a cell, or be read as HTML.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(s)
}
