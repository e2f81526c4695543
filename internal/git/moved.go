package git

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The first request of every clone, and the type of its answer.
const (
	refsPath   = "/info/refs"
	refsQuery  = "?service=git-upload-pack"
	refsAnswer = "application/x-git-upload-pack-advertisement"
)

// ask repeats git's first request where git's words were doubtful. It returns
// the target's new place where the provider has moved it on the same host (a
// renamed repository), or the failure: the one that git reported, or a truer one.
func (c *Client) ask(ctx context.Context, t target, reported error) (target, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url()+refsPath+refsQuery, nil)
	if err != nil {
		return target{}, reported
	}
	// Providers tell git from a browser by this name.
	request.Header.Set("User-Agent", "git/dispatchd")
	if t.token.Set() {
		request.Header.Set("Authorization", t.basic())
	}
	response, err := c.web.Do(request)
	if err != nil {
		return target{}, reported
	}
	_ = response.Body.Close()
	switch {
	case response.StatusCode/100 == 3:
		return t.at(response.Header.Get("Location"), reported)
	case response.StatusCode == http.StatusOK && response.Header.Get("Content-Type") != refsAnswer:
		// A login page or a proxy: git takes it for a repository without branches.
		return target{}, t.fail(tasks.ReasonGitUnavailable, "$host does not answer as a git server does", nil)
	}
	return target{}, reported
}

// at returns the target at the place that a redirect names, as long as it is a
// repository of the same host, which alone may see the token.
func (t target) at(location string, reported error) (target, error) {
	base := t.base()
	to, err := base.Parse(location)
	if err != nil || location == "" {
		return target{}, reported
	}
	if to.Scheme != base.Scheme || !strings.EqualFold(to.Host, base.Host) || to.User != nil {
		return target{}, t.fail(tasks.ReasonGitRejected,
			fmt.Sprintf("$host redirects to %s, which is not followed", origin(to)), reported)
	}
	path := strings.TrimSuffix(to.Path, refsPath)
	if t.address != nil {
		return t.atAddress(path, reported)
	}
	repository, inside := strings.CutPrefix(strings.TrimSuffix(path, ".git"), base.Path+"/")
	if !inside || checkRepository(repository, t.provider.groups) != nil || repository == t.repository {
		return target{}, reported
	}
	t.repository = repository
	return t, nil
}

// atAddress is at for a submodule on another host.
func (t target) atAddress(path string, reported error) (target, error) {
	if path == t.address.Path || !pathPattern.MatchString(path) || hasDots(path) {
		return target{}, reported
	}
	t.address = &url.URL{Scheme: t.address.Scheme, Host: t.address.Host, Path: path}
	t.repository = strings.TrimSuffix(strings.TrimPrefix(path, "/"), ".git")
	return t, nil
}

// origin is a URL without anything that could be a secret.
func origin(u *url.URL) string { return printable(u.Scheme+"://"+u.Host, 200) }
