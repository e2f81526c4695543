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
	// ssh is the base of the same repositories for deploy keys, with its user.
	ssh *url.URL
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
	userPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	segmentPattern = regexp.MustCompile(`^[A-Za-z0-9_~.][A-Za-z0-9_.~-]*$`)
)

// parseProviders reads the base URLs and reports all that are wrong.
func parseProviders(o Options) (map[string]provider, error) {
	rows := []struct {
		name, title, url, ssh, public string
		user                          string
		groups                        int
	}{
		{"github", "GitHub", o.GitHubURL, o.GitHubSSHURL, "https://github.com", "x-access-token", 1},
		{"gitlab", "GitLab", o.GitLabURL, o.GitLabSSHURL, "https://gitlab.com", "x-access-token", maxGroups},
		{"bitbucket", "Bitbucket", o.BitbucketURL, o.BitbucketSSHURL, "https://bitbucket.org", "x-token-auth", 1},
	}
	providers := make(map[string]provider, len(rows))
	var wrong []error
	for _, row := range rows {
		base, err := parseBase(orDefault(row.url, row.public))
		if err != nil {
			wrong = append(wrong, fmt.Errorf("git: %sURL: %w", row.title, err))
			continue
		}
		ssh, err := parseSSHBase(row.ssh, base)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("git: %sSSHURL: %w", row.title, err))
		}
		providers[row.name] = provider{base: base, ssh: ssh, user: row.user, groups: row.groups}
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

// parseSSHBase reads a base URL for deploy keys; without one it is the user git
// at the host of the base.
func parseSSHBase(text string, base *url.URL) (*url.URL, error) {
	if text == "" {
		text = "ssh://git@" + base.Hostname()
		if strings.Contains(base.Hostname(), ":") {
			text = "ssh://git@[" + base.Hostname() + "]"
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	_, password := u.User.Password()
	switch {
	case u.Scheme != "ssh":
		return nil, errors.New("not an ssh:// URL")
	case password || !userPattern.MatchString(orDefault(u.User.Username(), "git")):
		return nil, errors.New("a user may stand in it, of letters, digits and . _ -, but no password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("a query or fragment has no place in it")
	case !hostPattern.MatchString(u.Host):
		return nil, errors.New("the host is missing or not valid")
	case !pathPattern.MatchString(u.Path) || hasDots(u.Path):
		return nil, errors.New("the path is not valid")
	}
	user := url.User(orDefault(u.User.Username(), "git"))
	return &url.URL{Scheme: "ssh", User: user, Host: strings.ToLower(u.Host), Path: u.Path}, nil
}

// target is a source that has passed the policy, or a submodule of one.
type target struct {
	provider   provider
	repository string
	branch     string
	token      tasks.Secret
	// deployKey is the private key that is used in the token's place, over SSH.
	deployKey []byte
	// keys hold the deploy key while the clone runs.
	keys *keyring
	// history asks for all commits and tags of the branch.
	history bool
	// label names a submodule in errors; empty for the task's own repository.
	label string
	// address is where a submodule on another host is, which gets no credential.
	address *url.URL
}

// target checks what a task says about its source, before anything is started.
func (c *Client) target(from tasks.Source) (target, error) {
	t := target{
		repository: strings.TrimSuffix(from.Repository, ".git"), branch: from.Branch,
		token: from.Token, history: from.History,
	}
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
	if !isDeployKey(t.token) {
		return t, nil
	}
	key, err := parseDeployKey(t.token)
	if err != nil {
		return target{}, t.fail(tasks.ReasonGitAuth, err.Error(), nil)
	}
	t.token, t.deployKey = "", key
	return t, nil
}

// base is what the target's address begins with.
func (t target) base() *url.URL {
	switch {
	case t.address != nil:
		return &url.URL{Scheme: t.address.Scheme, Host: t.address.Host}
	case t.deployKey != nil:
		return t.provider.ssh
	}
	return t.provider.base
}

// url is the address that git is given; it never holds a token.
func (t target) url() string {
	if t.address != nil {
		return t.address.String()
	}
	return t.base().String() + "/" + t.repository + ".git"
}

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
