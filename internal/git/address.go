package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	j := &job{client: c, dir: dir, home: home, rep: rep}
	commit, err = j.fillFromAddress(ctx, t)
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
	if !ownRef(t.branch) {
		return target{}, t.rejected("its ref is no branch, tag or commit")
	}
	return t, nil
}

// ownRef refuses what git fetches by other names than those of branches, tags
// and commits: a host keeps there what strangers propose to merge. The word tag
// and a plus mean something else to git.
func ownRef(ref string) bool {
	if rest, whole := strings.CutPrefix(ref, "refs/"); whole {
		return strings.HasPrefix(rest, "heads/") || strings.HasPrefix(rest, "tags/")
	}
	first, _, below := strings.Cut(ref, "/")
	proposed := below && slices.Contains([]string{"pull", "pull-requests", "merge-requests", "changes", "remotes", "keep-around"}, first)
	return !proposed && ref != "tag" && ref[0] != '+'
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

// fillFromAddress fetches one commit by whatever it is called, and checks it out.
func (j *job) fillFromAddress(ctx context.Context, t target) (string, error) {
	at := checkout{target: t, dir: j.dir, gitDir: filepath.Join(j.dir, ".git")}
	if _, err := j.local(ctx, at, "", "init", "--quiet", "--template="); err != nil {
		return "", err
	}
	err := j.remote(ctx, t, "--git-dir="+at.gitDir, "fetch", "--progress", "--depth=1", "--no-tags",
		"--no-recurse-submodules", "--", t.url(), t.branch)
	if err != nil {
		return "", unknownRefOr(t, err)
	}
	if _, err := j.local(ctx, at, "", "checkout", "--quiet", "--detach", "FETCH_HEAD", "--"); err != nil {
		return "", err
	}
	if err := j.fits(t); err != nil {
		return "", err
	}
	commit, err := os.ReadFile(filepath.Join(at.gitDir, "HEAD"))
	if err != nil {
		return "", t.internal(err)
	}
	return strings.TrimSpace(string(commit)), t.internalOrNil(os.RemoveAll(at.gitDir))
}

// unknownRefOr tells a revision that the server does not have from other errors.
func unknownRefOr(t target, err error) error {
	var words *gitError
	if errors.As(err, &words) && unknownRef.MatchString(words.words) {
		return t.fail(tasks.ReasonGitRefNotFound, "branch, tag or commit not found", words)
	}
	return err
}
