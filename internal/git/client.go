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
	// MaxBytes is what a clone may take on disk, packed objects and files
	// together; 0 is 4 GiB.
	MaxBytes int64
	// StallTimeout ends a clone whose network has been silent, or slower than
	// 1,000 bytes a second, for so long; 0 is 45 s.
	StallTimeout time.Duration
	// Git is the program; empty is "git".
	Git string
	// Environ is the environment of which git gets the few variables that it
	// needs; nil is the process's own.
	Environ []string
}

// Client clones repositories. It is safe for concurrent use.
type Client struct {
	git       string
	providers map[string]provider
	maxBytes  int64
	stall     time.Duration
	inherited []string
	web       *http.Client
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
		providers: providers,
		maxBytes:  orDefault(o.MaxBytes, defaultMaxBytes),
		stall:     orDefault(o.StallTimeout, defaultStall),
		inherited: inherit(o.Environ),
	}
	c.web = newWebClient(c.stall)
	return c, nil
}

// Clone puts one revision of a branch or tag into dir, which must not exist
// yet; a branch wins over a tag of the same name. After an error dir does not
// exist. No process of the clone is left when Clone returns.
func (c *Client) Clone(ctx context.Context, from tasks.Source, dir string, rep tasks.Reporter) (tasks.Revision, error) {
	t, err := c.target(from)
	if err != nil {
		return tasks.Revision{}, err
	}
	revision, err := c.clone(ctx, t, dir, rep)
	if isDoubtful(err) {
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
	return c.fill(ctx, t, place{dir: dir, home: home}, rep)
}

// place is where one clone works.
type place struct{ dir, home string }

// fill fetches and checks out, reads what it got, and removes git's own part.
func (c *Client) fill(ctx context.Context, t target, at place, rep tasks.Reporter) (tasks.Revision, error) {
	if err := c.fetch(ctx, t, at, rep); err != nil {
		return tasks.Revision{}, err
	}
	if diskUse(at.dir, c.maxBytes) > c.maxBytes {
		return tasks.Revision{}, t.tooLarge(c.maxBytes)
	}
	revision, err := c.revision(ctx, t, at)
	if err != nil {
		return tasks.Revision{}, err
	}
	if err := os.RemoveAll(filepath.Join(at.dir, ".git")); err != nil {
		return tasks.Revision{}, t.internal(err)
	}
	return revision, nil
}

// fetch runs git clone under the eyes of a watch.
func (c *Client) fetch(ctx context.Context, t target, at place, rep tasks.Reporter) error {
	out := newOutput(rep.Stderr())
	w := watch{dir: at.dir, maxBytes: c.maxBytes, silence: 2 * c.stall, heard: out.heard.Load}
	err := w.over(ctx, func(ctx context.Context) error {
		return c.run(ctx, program{
			args:   cloneArgs(t, at.dir),
			env:    c.environ(t, at.home, t.authorization()...),
			dir:    at.home,
			stderr: out,
		})
	})
	out.flush()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return t.tooLarge(c.maxBytes)
	case errors.Is(err, errSilent):
		return t.fail(tasks.ReasonGitUnavailable, "$host stopped answering", err)
	}
	return classify(t, out.own, err)
}

// cloneArgs are git's arguments; the operands stand behind "--".
func cloneArgs(t target, dir string) []string {
	return []string{
		"clone", "--progress", "--depth=1", "--single-branch", "--no-tags",
		"--no-recurse-submodules", "--template=", "--branch=" + t.branch, "--", t.url(), dir,
	}
}

// revision reads the commit that was checked out. The token is not needed any more.
func (c *Client) revision(ctx context.Context, t target, at place) (tasks.Revision, error) {
	var text strings.Builder
	out := newOutput(nil)
	err := c.run(ctx, program{
		args:   []string{"--git-dir=" + filepath.Join(at.dir, ".git"), "log", "-1", "--format=%H%n%s", "HEAD"},
		env:    c.environ(t, at.home),
		dir:    at.home,
		stdout: &text,
		stderr: out,
	})
	out.flush()
	if err != nil {
		return tasks.Revision{}, classify(t, out.own, err)
	}
	commit, subject, _ := strings.Cut(text.String(), "\n")
	return tasks.Revision{Commit: commit, Subject: printable(strings.TrimSpace(subject), maxSubject)}, nil
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
