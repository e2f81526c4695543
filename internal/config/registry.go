package config

import (
	"net"
	"slices"
	"strings"
)

// dockerHub is the registry that an image name without a host means.
const dockerHub = "docker.io"

// Registry is where images go and who we are there.
type Registry struct {
	Username string   `envconfig:"REGISTRY_USERNAME" desc:"user for the registry of DISPATCHD_REGISTRY_HOST"`
	Password Secret   `envconfig:"REGISTRY_PASSWORD" desc:"password of that user"`
	Token    Secret   `envconfig:"REGISTRY_TOKEN" desc:"bearer token for that registry, instead of user and password"`
	Push     string   `envconfig:"DISPATCHD_REGISTRY" desc:"host or host/namespace to which images built from a repository are pushed where imageName names no registry"`
	Host     string   `envconfig:"DISPATCHD_REGISTRY_HOST" shown:"host of DISPATCHD_REGISTRY, else docker.io" desc:"the one registry that REGISTRY_USERNAME, REGISTRY_PASSWORD and REGISTRY_TOKEN are sent to; never to another that a task names"`
	Insecure []string `envconfig:"DISPATCHD_INSECURE_REGISTRIES" desc:"registries (host:port, separated by commas) that are spoken to over plain http; those on loopback always may be"`
}

// Credentials are who we are at one registry.
type Credentials struct {
	Username string
	Password Secret
	Token    Secret
}

// CredentialHost returns the one registry that the credentials are for. A task
// chooses its image, so sending them wherever that name points would give them
// to anybody who can deploy; like a docker login that names no server, the
// default is Docker Hub.
func (r Registry) CredentialHost() string {
	if r.Host != "" {
		return r.Host
	}
	if host, _, _ := strings.Cut(r.Push, "/"); host != "" {
		return host
	}
	return dockerHub
}

// CredentialsFor returns the credentials to send to a registry ("host" or
// "host:port"), and false where there are none for it.
func (r Registry) CredentialsFor(host string) (Credentials, bool) {
	if !r.hasCredentials() || sameRegistry(host) != sameRegistry(r.CredentialHost()) {
		return Credentials{}, false
	}
	return Credentials{Username: r.Username, Password: r.Password, Token: r.Token}, true
}

func (r Registry) hasCredentials() bool {
	return r.Token.Set() || (r.Username != "" && r.Password.Set())
}

// sameRegistry gives Docker Hub's three names one.
func sameRegistry(host string) string {
	host = strings.ToLower(host)
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return dockerHub
	}
	return host
}

// PlainHTTP reports whether a registry ("host" or "host:port") may be spoken to
// without TLS.
func (r Registry) PlainHTTP(host string) bool {
	if slices.Contains(r.Insecure, host) {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}
