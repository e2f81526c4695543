package git

import "github.com/dispatchd/dispatchd/internal/tasks"

// Command returns the arguments and the environment with which a clone would
// start git, or the policy's refusal.
func (c *Client) Command(from tasks.Source, dir string) (args, env []string, err error) {
	t, err := c.target(from)
	if err != nil {
		return nil, nil, err
	}
	return cloneArgs(t, dir), c.environ(t, "/home/of/git", t.authorization()...), nil
}

// PublicHosts returns the built-in known hosts.
func PublicHosts() string { return publicHosts }

// Fetch is what a clone would do for a submodule.
type Fetch struct {
	Path, URL  string
	Credential bool
}

// Submodules returns what a clone would fetch for the submodules of a listing
// as git config prints it, or the policy's refusal.
func (c *Client) Submodules(from tasks.Source, listing string) ([]Fetch, error) {
	t, err := c.target(from)
	if err != nil {
		return nil, err
	}
	list, err := parseModules(listing)
	if err != nil {
		return nil, t.rejected(err.Error())
	}
	var all []Fetch
	for _, m := range list {
		s, err := t.submodule(m, m.path)
		if err != nil {
			return nil, err
		}
		all = append(all, Fetch{m.path, s.url(), s.token.Set() || s.deployKey != nil})
	}
	return all, nil
}

// ParsePointer returns what a pointer file names.
func ParsePointer(content []byte) (oid string, size int64, ok bool) {
	p, ok := parsePointer(content)
	return p.oid, p.size, ok
}
