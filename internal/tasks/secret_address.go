package tasks

import (
	"net/url"
	"strings"
)

// leastInQuery is the shortest value of a query that is taken for a secret: a
// shorter one says yes, host or 3600 and would blank out ordinary text.
const leastInQuery = 6

// addressSecrets returns what of an upload's address authorises its reader: its
// user and password and the values of its query, as written and decoded. An
// address that cannot be read is a secret as a whole.
func addressSecrets(address string) []string {
	if address == "" {
		return nil
	}
	parsed, err := url.Parse(address)
	if err != nil {
		return []string{address}
	}
	var texts []string
	if password, ok := parsed.User.Password(); ok {
		texts = append(texts, password)
	} else if name := parsed.User.Username(); name != "" {
		texts = append(texts, name)
	}
	for pair := range strings.SplitSeq(parsed.RawQuery, "&") {
		_, value, found := strings.Cut(pair, "=")
		if !found {
			value = pair
		}
		if len(value) < leastInQuery {
			continue
		}
		texts = append(texts, value)
		if decoded, err := url.QueryUnescape(value); err == nil && decoded != value {
			texts = append(texts, decoded)
		}
	}
	return texts
}
