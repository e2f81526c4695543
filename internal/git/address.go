package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Address is a repository that is no task's source: an operator has allowed it
// by its URL.
type Address struct {
	// URL is https://host/owner/name, or plain http where the operator wrote so.
	URL string
	// Ref is a branch, a tag or a commit's full name; empty is the default branch.
	Ref string
	// Token is sent to the URL's host and port alone; empty means anonymous.
	Token tasks.Secret
}

// unknownRef matches git's words for a revision that the server does not have.
var unknownRef = regexp.MustCompile(`^fatal: (couldn't find remote ref|remote error: upload-pack: not our ref)`)

// CloneAddress puts one revision into dir, which must not exist yet, and
// returns its commit. It follows no redirect and fetches no submodule; after an
// error dir does not exist. Errors are *tasks.Failure with a git_… or source_… reason.
func (c *Client) CloneAddress(ctx context.Context, from Address, dir string, rep tasks.Reporter) (commit string, err error) {
	t, err := c.addressed(from)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", t.internal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", t.internal(err)
	}
	home, err := os.MkdirTemp(filepath.Dir(dir), ".git-home-")
	if err != nil {
		return "", t.internal(errors.Join(err, os.RemoveAll(dir)))
	}
	commit, err = c.fetchAddress(ctx, t, revisionAt{dir: dir, home: home}, rep)
	err = withCleanup(err, os.RemoveAll(home))
	if err != nil {
		err = withCleanup(err, os.RemoveAll(dir))
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return commit, err
}

// addressed holds an address to the same policy as a task's source.
func (c *Client) addressed(from Address) (target, error) {
	base, err := parseBase(strings.TrimSuffix(from.URL, ".git"))
	if err != nil {
		return target{}, tasks.Fail(tasks.ReasonGitRejected, "clone: its address is "+err.Error(), nil)
	}
	t := target{
		repository: strings.Trim(base.Path, "/"), branch: orDefault(from.Ref, "HEAD"), token: from.Token,
		provider: provider{base: base, user: c.userAt(base.Host), groups: maxGroups},
	}
	base.Path = ""
	if err := checkRepository(t.repository, maxGroups); err != nil {
		return target{}, t.rejected(err.Error())
	}
	if err := checkBranch(t.branch); err != nil {
		return target{}, t.rejected(err.Error())
	}
	return t, nil
}

// userAt is the name that goes with a token at a host: that of its provider
// where it is one of ours.
func (c *Client) userAt(host string) string {
	for _, p := range c.providers {
		if p.base.Host == host {
			return p.user
		}
	}
	return "x-access-token"
}

// revisionAt is where one revision is put.
type revisionAt struct{ dir, home string }

// fetchAddress fetches one commit by whatever it is called, and checks it out.
func (c *Client) fetchAddress(ctx context.Context, t target, at revisionAt, rep tasks.Reporter) (string, error) {
	gitDir := filepath.Join(at.dir, ".git")
	in := []string{"--git-dir=" + gitDir, "--work-tree=" + at.dir}
	steps := []struct {
		args   []string
		remote bool
	}{
		{append(in, "init", "--quiet", "--template="), false},
		{append(in, "fetch", "--progress", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", t.url(), t.branch), true},
		{append(in, "checkout", "--quiet", "--detach", "FETCH_HEAD", "--"), false},
	}
	for _, s := range steps {
		if err := c.step(ctx, t, at, rep, s.args, s.remote); err != nil {
			return "", err
		}
	}
	commit, err := os.ReadFile(filepath.Join(gitDir, "HEAD"))
	if err != nil {
		return "", t.internal(err)
	}
	if err := os.RemoveAll(gitDir); err != nil {
		return "", t.internal(err)
	}
	return strings.TrimSpace(string(commit)), nil
}

// step runs git once; only the step that speaks to the server gets the token.
func (c *Client) step(ctx context.Context, t target, at revisionAt, rep tasks.Reporter, args []string, remote bool) error {
	var token []setting
	if remote {
		token = t.authorization()
	}
	out := newOutput(rep.Stderr())
	w := watch{dir: at.dir, maxBytes: c.maxBytes, silence: 2 * c.stall, heard: out.heard.Load}
	err := w.over(ctx, func(ctx context.Context) error {
		return c.run(ctx, program{args: args, env: c.environ(t, at.home, token...), dir: at.home, stderr: out})
	})
	out.flush()
	switch {
	// A step may have been too quick for its watch.
	case errors.Is(err, errTooLarge), err == nil && diskUse(at.dir, c.maxBytes) > c.maxBytes:
		return t.tooLarge(c.maxBytes)
	case err == nil:
		return nil
	case errors.Is(err, errSilent):
		return t.fail(tasks.ReasonGitUnavailable, "$host stopped answering", err)
	}
	for _, line := range out.own {
		if unknownRef.MatchString(line) {
			return t.fail(tasks.ReasonGitRefNotFound, "branch, tag or commit not found", &gitError{words: line})
		}
	}
	return classify(t, out.own, err)
}
