package tasks

import (
	"net"
	"net/url"
	"strings"
)

// SameAddress reports whether two URLs reach the same server as the same user:
// what is written differently (a port, capitals, a slash) may be the same. A
// token of the environment goes to the environment's address alone.
func SameAddress(a, b string) bool {
	left, errA := url.Parse(a)
	right, errB := url.Parse(b)
	if errA != nil || errB != nil || left.Host == "" {
		return false
	}
	return SameHost(left, right) && left.User.String() == right.User.String() &&
		strings.TrimRight(left.Path, "/") == strings.TrimRight(right.Path, "/")
}

// SameHost reports whether two URLs have one scheme, host and port.
func SameHost(a, b *url.URL) bool { return a.Scheme == b.Scheme && hostPort(a) == hostPort(b) }

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
