package redact_test

import (
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/redact"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"no address here":                                       "no address here",
		"https://github.com/acme/api.git":                       "https://github.com/acme/api.git",
		"clone https://x-access-token:abc@github.com/acme/api":  "clone https://github.com/acme/api",
		"https://token@host":                                    "https://host",
		"https://u:p@ss@host/x":                                 "https://host/x",
		"https://u:p/ss@host/x":                                 "https://host/x",
		"https://u:p?ss@host/x":                                 "https://host/x",
		"https://registry.example:5000/@scope/pkg":              "https://registry.example:5000/@scope/pkg",
		"https://registry.example/@scope/pkg":                   "https://registry.example/@scope/pkg",
		"http://[::1]:4646/v1/jobs?token=abc":                   "http://[::1]:4646/v1/jobs",
		`Put "https://b.example/a?accessToken=abc": EOF`:        `Put "https://b.example/a": EOF`,
		"see https://b.example/a?t=abc.":                        "see https://b.example/a.",
		"(https://b.example/a?t=abc), https://c.example/?u=def": "(https://b.example/a), https://c.example/",
		`{\"url\":\"https://b.example/a?t=abc\"}`:               `{\"url\":\"https://b.example/a\"}`,
		"nats://user:secret@one:4222,nats://two:4222":           "nats://one:4222,nats://two:4222",
		"https://host/repo.git#main:dir":                        "https://host/repo.git#main:dir",
		"nats://one:4222,tls://token@two,ws://u:p@three:1":      "nats://one:4222,tls://two,ws://three:1",
		"https://proxy.example/https://u:p@host/x?q=1":          "https://proxy.example/https://host/x",
		"https://h/?next=https://u:p@other&token=abc":           "https://h/",
		"://": "://",
	} {
		if got := redact.URL(in); got != want {
			t.Errorf("URL(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("clone ", "user", "p@ss/w?rd", " failed")
	f.Fuzz(func(t *testing.T, before, user, password, after string) {
		const planted = "PLANTEDSECRET"
		for _, s := range []string{before, user, password, after} {
			if strings.ContainsAny(s, "\"'`<>") || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) >= 0 || strings.Contains(s, "://") {
				t.Skip("ends the URL, or begins another")
			}
		}
		if strings.ContainsAny(user, ":/?#[@") {
			t.Skip("no user")
		}
		text := before + " https://" + user + ":" + planted + password + "@host.example/path?q=" + planted + password
		if got := redact.URL(text); strings.Contains(got, planted) {
			t.Errorf("URL(%q) = %q", text, got)
		}
	})
}
