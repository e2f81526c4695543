package nomad

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// session is one cluster as one call uses it; job is what messages name.
type session struct {
	api  *api.Client
	opts *Options
	// namespace and region are those of every request; region may be empty.
	namespace string
	region    string
	job       string
}

// open picks the address and the token of a call. The environment's token and
// its basic authentication stay with the environment's address.
func (c *Client) open(at tasks.Cluster, job string) (*session, error) {
	config := &api.Config{
		Address:    c.env.Address,
		Region:     c.env.Region,
		Namespace:  c.env.Namespace,
		HttpClient: c.http,
	}
	if at.Address != "" && !sameAddress(at.Address, c.env.Address) {
		u, err := url.Parse(at.Address)
		if err != nil || !isAddress(u) {
			return nil, tasks.Fail(tasks.ReasonInvalidTask,
				fmt.Sprintf("%s: the Nomad address %q is no http or https address", subject(job), redacted(at.Address)), nil)
		}
		config.Address = at.Address
	} else {
		config.SecretID = c.env.SecretID
		config.HttpAuth = c.env.HttpAuth
	}
	if at.Token.Set() {
		config.SecretID = at.Token.Reveal()
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, tasks.Fail(tasks.ReasonInvalidTask, subject(job)+": the Nomad address cannot be used", err)
	}
	return &session{api: client, opts: &c.opts, namespace: config.Namespace, region: config.Region, job: job}, nil
}

// sameAddress compares what a request would reach, not how it is written.
func sameAddress(a, b string) bool {
	left, errA := url.Parse(a)
	right, errB := url.Parse(b)
	if errA != nil || errB != nil {
		return false
	}
	return left.Scheme == right.Scheme && hostPort(left) == hostPort(right) && userInfo(left) == userInfo(right)
}

func userInfo(u *url.URL) string {
	if u.User == nil {
		return ""
	}
	return u.User.String()
}

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case u.Scheme == "unix":
		return u.Path
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
