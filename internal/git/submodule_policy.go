package git

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

const maxModuleText = 1024

// scpPattern is [user@]host:path, which ssh and git take for an SSH address.
var scpPattern = regexp.MustCompile(`^(?:([A-Za-z0-9_][A-Za-z0-9_.-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(/?[A-Za-z0-9_~][A-Za-z0-9_~./-]*)$`)

// parseModules reads what git config says of .gitmodules: key, newline, value,
// NUL. Anything that could be understood in two ways is an error.
func parseModules(text string) ([]module, error) {
	var list []module
	for entry := range strings.SplitSeq(text, "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		rest, ours := strings.CutPrefix(key, "submodule.")
		dot := strings.LastIndexByte(rest, '.')
		if !ours || dot < 0 {
			continue
		}
		i := slices.IndexFunc(list, func(m module) bool { return m.name == rest[:dot] })
		if i < 0 {
			i, list = len(list), append(list, module{name: rest[:dot]})
		}
		if err := list[i].set(rest[dot+1:], value); err != nil {
			return nil, err
		}
	}
	if len(list) > maxModules {
		return nil, fmt.Errorf(".gitmodules names more than %d submodules", maxModules)
	}
	return list, checkModules(list)
}

// set takes one variable of an entry; those that we have no use for are dropped.
func (m *module) set(variable, value string) error {
	field, known := map[string]*string{"path": &m.path, "url": &m.url, "update": &m.update}[variable]
	if !known {
		return nil
	}
	if *field != "" && *field != value {
		return fmt.Errorf(".gitmodules has two values for submodule %s", printable(m.name, 80))
	}
	*field = value
	return nil
}

// checkModules checks names and paths; addresses are checked when a submodule
// turns out to be in the tree.
func checkModules(list []module) error {
	seen := map[string]bool{}
	for _, m := range list {
		if err := checkModulePath(m.path); err != nil {
			return fmt.Errorf("submodule %s: %w", printable(orDefault(m.path, m.name), 80), err)
		}
		if hasControl(m.name) || hasControl(m.update) || slices.Contains(strings.Split(m.name, "/"), "..") {
			return fmt.Errorf("submodule %s: its name is not allowed", printable(m.path, 80))
		}
		if seen[strings.ToLower(m.path)] {
			return fmt.Errorf("submodule %s: two submodules have that path", printable(m.path, 80))
		}
		seen[strings.ToLower(m.path)] = true
	}
	return nil
}

// checkModulePath accepts a plain path below the repository.
func checkModulePath(name string) error {
	switch {
	case name == "":
		return errors.New("its path is missing")
	case len(name) > maxModuleText || hasControl(name) || strings.ContainsAny(name, `\:`):
		return errors.New("its path holds what is not allowed")
	case strings.HasPrefix(name, "-") || path.IsAbs(name) || path.Clean(name) != name || name == "." || strings.HasPrefix(name, ".."):
		return errors.New("its path is not allowed")
	}
	for part := range strings.SplitSeq(strings.ToLower(name), "/") {
		// What some file systems take for .git.
		if part = strings.TrimRight(part, ". "); part == ".git" || strings.HasPrefix(part, "git~") || strings.HasPrefix(part, ".git ") {
			return errors.New("its path leads into .git")
		}
	}
	return nil
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
}

// submodule says where a submodule of the target is and what it gets: at the
// target's provider the task's credential, over the same protocol, however the
// address is written; elsewhere none, and https alone.
func (t target) submodule(m module, below string) (target, error) {
	t.label = target{repository: t.repository, branch: t.branch, label: t.root()}.title() + ": submodule " + printable(below, 120)
	t.history = false
	if m.url == "" || len(m.url) > maxModuleText || hasControl(m.url) || strings.ContainsAny(m.url, " \\") || m.url[0] == '-' {
		return t, t.rejected("its address is missing, or holds what is not allowed")
	}
	if strings.HasPrefix(m.url, "./") || strings.HasPrefix(m.url, "../") {
		return t.beside(m.url)
	}
	u, err := parseAddress(m.url)
	if err != nil {
		return t, t.rejected(err.Error())
	}
	if repository, same := t.provider.holds(u); same {
		t.address = nil
		return t.sameHost(repository)
	}
	return t.elsewhere(u)
}

// root is the label of the task's own repository, without submodules.
func (t target) root() string {
	label, _, _ := strings.Cut(t.label, ": submodule ")
	return label
}

// parseAddress reads an absolute address: https, http, ssh, or scp's short form.
func parseAddress(text string) (*url.URL, error) {
	if m := scpPattern.FindStringSubmatch(text); m != nil {
		return &url.URL{Scheme: "ssh", User: url.User(orDefault(m[1], "git")), Host: strings.ToLower(m[2]), Path: "/" + strings.TrimPrefix(m[3], "/")}, nil
	}
	u, err := url.Parse(text)
	if err != nil || !strings.Contains(text, "://") {
		return nil, errors.New("its address is no https:// or ssh:// URL and not relative")
	}
	u.Host = strings.TrimSuffix(strings.ToLower(u.Host), map[string]string{"https": ":443", "http": ":80", "ssh": ":22"}[u.Scheme])
	_, password := u.User.Password()
	switch {
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh":
		return nil, fmt.Errorf("its address begins with %s://, and only https and ssh are allowed", printable(u.Scheme, 20))
	case password:
		return nil, errors.New("its address holds a password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.RawPath != "" || u.Opaque != "":
		return nil, errors.New("its address holds more than a host and a path")
	case !hostPattern.MatchString(u.Host):
		return nil, errors.New("its address has no valid host")
	}
	u.Path = "/" + strings.Trim(u.Path, "/")
	if !pathPattern.MatchString(u.Path) || hasDots(u.Path) || strings.Contains(u.Path, "/-") {
		return nil, errors.New("its address has no valid path")
	}
	return u, nil
}

// holds reports whether an address is the provider's, and which repository it names.
func (p provider) holds(u *url.URL) (string, bool) {
	base := p.base
	if u.Scheme == "ssh" {
		atSSH := u.Hostname() == p.ssh.Hostname() && (u.Port() == "" || u.Port() == p.ssh.Port())
		if atSSH {
			base = p.ssh
		} else if u.Hostname() != p.base.Hostname() || u.Port() != "" {
			return "", false
		}
	} else if u.Scheme != base.Scheme || u.Host != base.Host {
		return "", false
	}
	if rest, below := strings.CutPrefix(u.Path, base.Path+"/"); below {
		return rest, true
	}
	// The short form of an SSH address has no place for the base's path.
	return strings.TrimPrefix(u.Path, "/"), u.Scheme == "ssh"
}

// sameHost is the submodule at the provider's host.
func (t target) sameHost(repository string) (target, error) {
	t.repository = strings.TrimSuffix(repository, ".git")
	if err := checkRepository(t.repository, maxGroups); err != nil {
		return t, t.rejected("its address names no " + strings.TrimPrefix(err.Error(), "repository must be "))
	}
	return t, nil
}

// elsewhere is the submodule at a host that gets no credential.
func (t target) elsewhere(u *url.URL) (target, error) {
	t.token, t.deployKey, t.keys = "", nil, nil
	t.label += " is at " + printable(u.Host, 200) + ", which gets no credential"
	switch {
	case u.Scheme == "ssh":
		return t, t.rejected("without one it can be read over https alone, not over ssh")
	case u.Scheme != "https":
		return t, t.rejected("it can be read over https alone")
	}
	t.address = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	t.repository = strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), ".git")
	return t, nil
}

// beside resolves a relative address against the parent's own.
func (t target) beside(relative string) (target, error) {
	parts := strings.Split(t.repository+".git", "/")
	if t.address != nil {
		parts = strings.Split(strings.TrimPrefix(t.address.Path, "/"), "/")
	}
	for part := range strings.SplitSeq(strings.TrimRight(relative, "/"), "/") {
		switch {
		case part == ".":
		case part == ".." && len(parts) == 0:
			return t, t.rejected("its address leads out of the host's repositories")
		case part == "..":
			parts = parts[:len(parts)-1]
		case !segmentPattern.MatchString(part):
			return t, t.rejected("its address holds what is not allowed")
		default:
			parts = append(parts, part)
		}
	}
	if t.address == nil {
		return t.sameHost(strings.Join(parts, "/"))
	}
	return t.elsewhere(&url.URL{Scheme: t.address.Scheme, Host: t.address.Host, Path: "/" + strings.Join(parts, "/")})
}
