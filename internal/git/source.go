package git

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// provider is one git host and how it takes a token.
type provider struct {
	base *url.URL
	// user is the name that goes with a token.
	user string
	// groups is how many segments may stand before a repository's own name.
	groups int
}

// Longest names that are passed on; filesystems end at 255 bytes a component.
const (
	maxRepository = 512
	maxComponent  = 200
	maxBranch     = 512
	maxGroups     = 20
)

var (
	hostPattern    = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	pathPattern    = regexp.MustCompile(`^(/[A-Za-z0-9_~.-]+)*$`)
	segmentPattern = regexp.MustCompile(`^[A-Za-z0-9_~.][A-Za-z0-9_.~-]*$`)
)

// parseProviders reads the three base URLs and reports all that are wrong.
func parseProviders(o Options) (map[string]provider, error) {
	rows := []struct {
		name, setting, url, public string
		user                       string
		groups                     int
	}{
		{"github", "GitHubURL", o.GitHubURL, "https://github.com", "x-access-token", 1},
		{"gitlab", "GitLabURL", o.GitLabURL, "https://gitlab.com", "x-access-token", maxGroups},
		{"bitbucket", "BitbucketURL", o.BitbucketURL, "https://bitbucket.org", "x-token-auth", 1},
	}
	providers := make(map[string]provider, len(rows))
	var wrong []error
	for _, row := range rows {
		base, err := parseBase(orDefault(row.url, row.public))
		if err != nil {
			wrong = append(wrong, fmt.Errorf("git: %s: %w", row.setting, err))
			continue
		}
		providers[row.name] = provider{base: base, user: row.user, groups: row.groups}
	}
	return providers, errors.Join(wrong...)
}

// parseBase reads a base URL. Its errors never repeat the URL, which may hold
// a password.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	switch {
	case base.Scheme != "https" && base.Scheme != "http":
		return nil, errors.New("not an https:// or http:// URL")
	case base.User != nil:
		return nil, errors.New("a user or password has no place in it; tokens come with the tasks")
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, errors.New("a query or fragment has no place in it")
	case !hostPattern.MatchString(base.Host):
		return nil, errors.New("the host is missing or not valid")
	case !pathPattern.MatchString(base.Path) || hasDots(base.Path):
		return nil, errors.New("the path is not valid")
	}
	return &url.URL{Scheme: base.Scheme, Host: strings.ToLower(base.Host), Path: base.Path}, nil
}

// target is a source that has passed the policy.
type target struct {
	provider   provider
	repository string
	branch     string
	token      tasks.Secret
}

// target checks what a task says about its source, before anything is started.
func (c *Client) target(from tasks.Source) (target, error) {
	t := target{repository: strings.TrimSuffix(from.Repository, ".git"), branch: from.Branch, token: from.Token}
	p, known := c.providers[from.Provider]
	if !known {
		return target{}, t.rejected("provider must be github, gitlab or bitbucket")
	}
	t.provider = p
	if err := checkRepository(t.repository, p.groups); err != nil {
		return target{}, t.rejected(err.Error())
	}
	if err := checkBranch(t.branch); err != nil {
		return target{}, t.rejected(err.Error())
	}
	return t, nil
}

// url is the address that git is given; it never holds a token.
func (t target) url() string { return t.provider.base.String() + "/" + t.repository + ".git" }

// scope is the part of the address that the token is for: scheme, host and port.
func (t target) scope() string {
	return t.provider.base.Scheme + "://" + t.provider.base.Host + "/"
}

// authorization is the header that carries the token; none for an anonymous clone.
func (t target) authorization() []setting {
	if !t.token.Set() {
		return nil
	}
	return []setting{{"http." + t.scope() + ".extraHeader", "Authorization: " + t.basic()}}
}

func (t target) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(t.provider.user+":"+t.token.Reveal()))
}

// checkRepository accepts owner/name, with up to groups segments before the name.
func checkRepository(repository string, groups int) error {
	segments := strings.Split(repository, "/")
	shape := "owner/name"
	if groups > 1 {
		shape = "group/name, with subgroups or without"
	}
	if len(repository) > maxRepository || len(segments) < 2 || len(segments) > groups+1 || hasDots("/"+repository) {
		return fmt.Errorf("repository must be %s", shape)
	}
	for _, segment := range segments {
		if !segmentPattern.MatchString(segment) {
			return fmt.Errorf("repository must be %s, of letters, digits and . _ - ~, not beginning with -", shape)
		}
	}
	return nil
}

// hasDots reports whether a path has a segment that leads elsewhere.
func hasDots(path string) bool {
	return strings.Contains(path, "..") || strings.HasSuffix(path, "/.") || strings.Contains(path, "/./")
}

// checkBranch accepts what git accepts as the name of a branch, and valid UTF-8 only.
func checkBranch(branch string) error {
	switch {
	case branch == "":
		return errors.New("branch is missing")
	case len(branch) > maxBranch || !utf8.ValidString(branch):
		return errors.New("branch is too long, or not valid UTF-8")
	case strings.HasPrefix(branch, "-"):
		return errors.New("branch must not begin with -")
	case branch == "@" || strings.Contains(branch, "..") || strings.Contains(branch, "@{") || strings.HasSuffix(branch, "."):
		return errors.New("branch is not a name that git allows")
	case strings.ContainsFunc(branch, isForbiddenInBranch):
		return errors.New("branch must not hold spaces, control characters or any of ~ ^ : ? * [ \\")
	}
	for component := range strings.SplitSeq(branch, "/") {
		if component == "" || len(component) > maxComponent || strings.HasPrefix(component, ".") || strings.HasSuffix(component, ".lock") {
			return errors.New("branch is not a name that git allows")
		}
	}
	return nil
}

func isForbiddenInBranch(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r)
}
