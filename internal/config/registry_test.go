package config_test

import (
	"testing"

	"github.com/dispatchd/dispatchd/internal/config"
)

func TestCredentialsGoToOneRegistry(t *testing.T) {
	t.Parallel()
	login := config.Registry{Username: "me", Password: "pw"}
	pushTo := func(push, host string) config.Registry {
		r := login
		r.Push, r.Host = push, host
		return r
	}
	for _, tc := range []struct {
		name     string
		registry config.Registry
		host     string
		want     bool
	}{
		{"Docker Hub by default", login, "docker.io", true},
		{"its index is the same", login, "index.docker.io", true},
		{"no registry that a task names", login, "evil.example", false},
		{"the host that images are pushed to", pushTo("reg.example:5000/team", ""), "reg.example:5000", true},
		{"not another port of it", pushTo("reg.example:5000/team", ""), "reg.example", false},
		{"not Docker Hub then", pushTo("reg.example:5000/team", ""), "docker.io", false},
		{"the host that is named", pushTo("reg.example/team", "other.example"), "other.example", true},
		{"and only that", pushTo("reg.example/team", "other.example"), "reg.example", false},
		{"letter case does not matter", pushTo("", "Reg.Example"), "reg.example", true},
		{"none where none is set", config.Registry{Username: "me"}, "docker.io", false},
		{"a token alone is enough", config.Registry{Token: "t"}, "docker.io", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, got := tc.registry.CredentialsFor(tc.host); got != tc.want {
				t.Errorf("CredentialsFor(%q) = %v, want %v", tc.host, got, tc.want)
			}
		})
	}
	got, _ := pushTo("", "reg.example").CredentialsFor("reg.example")
	if want := (config.Credentials{Username: "me", Password: "pw"}); got != want {
		t.Errorf("got other credentials than %q", want.Username)
	}
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	r := config.Registry{Insecure: []string{"10.0.0.1:5000"}}
	for host, want := range map[string]bool{
		"10.0.0.1:5000": true, "10.0.0.1": false, "127.0.0.1:5000": true, "127.9.9.9": true, "localhost:80": true, "localhost": true,
		"[::1]:5000": true, "[::1]": true, "localhost.evil.example": false, "127.0.0.1.evil.example:5000": false, "docker.io": false,
	} {
		if got := r.PlainHTTP(host); got != want {
			t.Errorf("PlainHTTP(%q) = %v, want %v", host, got, want)
		}
	}
}
