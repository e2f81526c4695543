package buildkit

import (
	"net"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// insecureHosts are the registries that may be spoken to without TLS.
type insecureHosts []string

// allows reports whether the registry may be spoken to over plain HTTP: it is
// one of the operator's, or on this machine.
func (h insecureHosts) allows(host string) bool {
	return slices.Contains(h, host) || onLoopback(host)
}

// onLoopback reports whether a host, with or without a port, is this machine.
func onLoopback(host string) bool {
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	if bare == "localhost" || strings.HasSuffix(bare, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(bare, "[]"))
	return ip != nil && ip.IsLoopback()
}

// sameRegistry reports whether a host that asks for credentials is the
// registry that an image's name belongs to.
func sameRegistry(asking, domain string) bool {
	if asking == domain {
		return true
	}
	return domain == tasks.DockerHub && (asking == "registry-1.docker.io" || asking == "index.docker.io")
}
