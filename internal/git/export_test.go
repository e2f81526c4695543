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
