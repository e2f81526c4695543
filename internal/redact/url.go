package redact

import (
	"strconv"
	"strings"
)

// URL returns the text without what the URLs in it carry beside their place:
// user information before the host, and the query. Everything else stays.
//
// A URL ends at white space, a quote or an angle bracket. Where a password that
// was not escaped makes the end of the host doubtful, more is removed, not less.
func URL(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i+3])
		s = s[i+3:]
		end := urlEnd(s)
		b.WriteString(bareURL(s[:end]))
		s = s[end:]
	}
}

// urlEnd returns how much of s, which follows "://", belongs to the URL.
func urlEnd(s string) int {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || strings.IndexByte("\"'`<>", c) >= 0 {
			s = s[:i]
			break
		}
	}
	return nextURL(s)
}

// nextURL returns where the next URL begins in a list of them, or in a path
// that holds one. In a query that does not count: all of it goes.
func nextURL(s string) int {
	place, _, _ := strings.Cut(s, "?")
	i := strings.Index(place, "://")
	if i < 0 {
		return len(s)
	}
	before := strings.TrimRight(s[:i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")
	if before == "" || strings.IndexByte(",;/|", before[len(before)-1]) < 0 {
		return len(s)
	}
	return len(before)
}

// bareURL takes "user:password@host:port/path?query" and returns "host:port/path".
func bareURL(u string) string {
	u = u[userinfoEnd(u):]
	path, query, found := strings.Cut(u, "?")
	if !found {
		return u
	}
	// Punctuation at the end belongs to the sentence around the URL.
	return path + query[len(strings.TrimRight(query, `.,:;)]}\`)):]
}

// userinfoEnd returns where the host begins. A "/" or "?" usually ends the
// host; where it stands in a password instead, what is before it does not look
// like a host and a port.
func userinfoEnd(u string) int {
	authority := u
	if i := strings.IndexAny(u, "/?#"); i >= 0 {
		authority = u[:i]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		return at + 1
	}
	_, port, found := strings.Cut(authority, ":")
	if _, err := strconv.ParseUint(port, 10, 16); !found || port == "" || err == nil || strings.HasPrefix(authority, "[") {
		return 0
	}
	return strings.LastIndexByte(u, '@') + 1
}
