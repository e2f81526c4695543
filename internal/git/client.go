package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// What a Client does where its Options are silent.
const (
	defaultMaxBytes = 4 << 30
	defaultStall    = 45 * time.Second
)

// maxSubject is how many characters of a commit's first line are kept.
const maxSubject = 200

// Options say where the providers are and what one clone may take.
type Options struct {
	// GitHubURL, GitLabURL and BitbucketURL are the bases of
	// <base>/<owner>/<name>.git; empty is the public one. Plain http is
	// accepted here, because only the operator can write it.
	GitHubURL    string
	GitLabURL    string
	BitbucketURL string
	// GitHubSSHURL and its like are the same for deploy keys:
	// ssh://[user@]host[:port][/path]; empty is git@ the host of the other.
	GitHubSSHURL    string
	GitLabSSHURL    string
	BitbucketSSHURL string
	// KnownHosts is a file of SSH host keys that are trusted beside those that
	// the three public providers have published; empty is none. It is read for
	// each clone with a deploy key.
	KnownHosts string
	// MaxBytes is what a clone may take on disk, packed objects and files
	// together; 0 is 4 GiB.
	MaxBytes int64
	// StallTimeout ends a clone whose network has been silent, or slower than
	// 1,000 bytes a second, for so long; 0 is 45 s.
	StallTimeout time.Duration
	// Git and SSH are the programs; empty are "git" and "ssh".
	Git string
	SSH string
	// Environ is the environment of which git gets the few variables that it
	// needs; nil is the process's own.
	Environ []string
}

// Client clones repositories. It is safe for concurrent use.
type Client struct {
	git       string
	ssh       string
	hostsFile string
	providers map[string]provider
	maxBytes  int64
	stall     time.Duration
	inherited []string
	web       *http.Client
	store     *http.Client
}

var _ tasks.Cloner = (*Client)(nil)

// New returns a Client, or all that is wrong with the options. It starts
// nothing: a worker without git can still deploy images.
func New(o Options) (*Client, error) {
	providers, err := parseProviders(o)
	if o.MaxBytes < 0 {
		err = errors.Join(err, fmt.Errorf("git: MaxBytes is %d, below zero", o.MaxBytes))
	}
	if o.StallTimeout < 0 {
		err = errors.Join(err, fmt.Errorf("git: StallTimeout is %s, below zero", o.StallTimeout))
	}
	if err != nil {
		return nil, err
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	c := &Client{
		git:       orDefault(o.Git, "git"),
		ssh:       orDefault(o.SSH, "ssh"),
		hostsFile: o.KnownHosts,
		providers: providers,
		maxBytes:  orDefault(o.MaxBytes, defaultMaxBytes),
		stall:     orDefault(o.StallTimeout, defaultStall),
		inherited: inherit(o.Environ),
	}
	trusted := trust(c.inherited)
	c.web, c.store = newWebClient(c.stall, trusted), newStoreClient(c.stall, trusted)
	return c, nil
}

// Clone puts one revision of a branch or tag into dir, which must not exist
// yet, with its submodules and the files that LFS keeps elsewhere; a branch
// wins over a tag of the same name. After an error dir does not exist. No
// process of the clone is left when Clone returns.
func (c *Client) Clone(ctx context.Context, from tasks.Source, dir string, rep tasks.Reporter) (tasks.Revision, error) {
	t, err := c.target(from)
	if err != nil {
		return tasks.Revision{}, err
	}
	if t.deployKey != nil {
		if t.keys, err = c.openKeyring(t); err != nil {
			return tasks.Revision{}, err
		}
		defer t.keys.close()
	}
	revision, err := c.clone(ctx, t, dir, rep)
	if isDoubtful(err) && t.deployKey == nil {
		var moved target
		if moved, err = c.ask(ctx, t, err); err == nil {
			_, _ = fmt.Fprintf(rep.Stderr(), "warning: %s has moved to %s\n", t.repository, moved.repository)
			revision, err = c.clone(ctx, moved, dir, rep)
		}
	}
	if err != nil && ctx.Err() != nil {
		return tasks.Revision{}, context.Cause(ctx)
	}
	return revision, err
}

// clone makes dir and removes it again where it cannot be filled.
func (c *Client) clone(ctx context.Context, t target, dir string, rep tasks.Reporter) (revision tasks.Revision, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return tasks.Revision{}, t.internal(err)
	}
	if err = os.Mkdir(dir, 0o700); err != nil {
		return tasks.Revision{}, t.internal(err)
	}
	defer func() {
		if err != nil {
			err = withCleanup(err, os.RemoveAll(dir))
		}
	}()
	// git's home is empty and its own: no .netrc, attributes or configuration.
	home, err := os.MkdirTemp(filepath.Dir(dir), ".git-home-")
	if err != nil {
		return tasks.Revision{}, t.internal(err)
	}
	defer func() { err = withCleanup(err, os.RemoveAll(home)) }()
	j := &job{client: c, dir: dir, home: home, rep: rep}
	return j.fill(ctx, t)
}

// printable returns the text without control characters, cut to most characters.
func printable(text string, most int) string {
	var b strings.Builder
	for _, r := range text {
		if most == 0 {
			break
		}
		if unicode.IsPrint(r) || r == '\t' {
			b.WriteRune(r)
			most--
		}
	}
	return b.String()
}

// withCleanup adds what went wrong while tidying up. A clone that worked stays
// one: its work directory is removed as a whole later.
func withCleanup(err, cleanup error) error {
	if err == nil || cleanup == nil || errors.Is(cleanup, fs.ErrNotExist) {
		return err
	}
	return errors.Join(err, cleanup)
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
