package pack

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// setting is the variable in which an operator allows registries.
const setting = "DISPATCHD_PACK_REGISTRIES"

// Registry is a git repository of packs that the operator allows.
type Registry struct {
	// URL is where it is: the operator's own words, never a task's.
	URL string
	// Ref is the only branch, tag or commit that may be taken; empty allows any.
	Ref string

	repository repository
}

// repository is what makes two addresses the same repository: their scheme is not part of it.
type repository struct{ host, path string }

var sourcePath = regexp.MustCompile(`^(/[A-Za-z0-9_.~][A-Za-z0-9_.~-]*)+$`)

// ParseRegistries reads the operator's list: host/owner/name or a whole URL,
// each with #ref behind it or without.
func ParseRegistries(list []string) ([]Registry, error) {
	registries := make([]Registry, 0, len(list))
	var wrong []error
	for _, entry := range list {
		address, ref, _ := strings.Cut(entry, "#")
		scheme, where, err := parseSource(address)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("pack registry %q: %w", address[strings.LastIndexByte(address, '@')+1:], err))
			continue
		}
		registries = append(registries, Registry{URL: scheme + "://" + where.host + where.path, Ref: ref, repository: where})
	}
	return registries, errors.Join(wrong...)
}

// parseSource reads a source as nomad-pack takes it: with or without a scheme,
// git:: before it or .git behind it. Its errors never repeat it.
func parseSource(text string) (scheme string, where repository, err error) {
	text = strings.TrimPrefix(text, "git::")
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	address, err := url.Parse(text)
	switch {
	case err != nil:
		return "", repository{}, errors.New("not host/owner/name and not a URL")
	case address.Scheme != "https" && address.Scheme != "http":
		return "", repository{}, errors.New("only https is spoken")
	case address.User != nil:
		return "", repository{}, errors.New("a user has no place in it; the token comes with the task")
	case address.RawQuery != "" || address.Fragment != "":
		return "", repository{}, errors.New("a query or fragment has no place in it")
	}
	where.host = strings.ToLower(address.Host)
	if host, port, err := net.SplitHostPort(where.host); err == nil && address.Scheme == "https" && port == "443" {
		where.host = host
	}
	where.path = strings.TrimSuffix(strings.TrimRight(address.Path, "/"), ".git")
	if address.Hostname() == "" || strings.Count(where.path, "/") < 2 || !sourcePath.MatchString(where.path) || strings.Contains(where.path, "..") {
		return "", repository{}, errors.New("not host/owner/name")
	}
	return address.Scheme, where, nil
}

// allowed returns where a task's registry is fetched from, and at what. Among
// several entries for one repository, the one with the task's ref counts.
func allowed(registries []Registry, source, ref string) (Origin, error) {
	_, where, err := parseSource(source)
	if err != nil {
		return Origin{}, fmt.Errorf("its registrySource cannot be read: %w", err)
	}
	if ref == "latest" {
		ref = ""
	}
	pinned := ""
	for _, r := range registries {
		switch {
		case r.repository != where:
		case r.Ref == "" || r.Ref == ref || ref == "":
			return Origin{URL: r.URL, Ref: or(ref, r.Ref)}, nil
		default:
			pinned = r.Ref
		}
	}
	if pinned != "" {
		return Origin{}, fmt.Errorf("%s allows it at %s alone, not at %q", setting, pinned, ref)
	}
	return Origin{}, fmt.Errorf("%s%s is not in %s", where.host, where.path, setting)
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
