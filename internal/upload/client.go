package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Options say from where uploads come and what one may take. A limit that is
// zero takes its default.
type Options struct {
	// Hosts are the hosts that are asked: "host" or "host:port" over https,
	// "http://host" over plain http.
	Hosts []string
	// BackendURL is the platform's own address, whose host is allowed too, over
	// plain http where the address is; empty allows no more.
	BackendURL string
	// MaxDownloadBytes is the size of an archive; 512 MiB.
	MaxDownloadBytes int64
	// MaxBytes is what its files may hold together; 2 GiB.
	MaxBytes int64
	// MaxFiles counts an archive's entries, and the directories between them; 50,000.
	MaxFiles int
	// MaxRatio is how many times larger than the archive its files may be, from
	// the first MiB on; 100.
	MaxRatio int64
	// MaxDepth is how many directories may lie in each other, MaxPath how many
	// bytes a path has; 64 and 1,024.
	MaxDepth int
	MaxPath  int
	// Timeout is how long one upload may take; 5 minutes. StallTimeout is how
	// long its host may say nothing; 30 s.
	Timeout      time.Duration
	StallTimeout time.Duration
}

// Client fetches uploads. It is safe for concurrent use.
type Client struct {
	hosts   hosts
	options Options
	web     *http.Client
}

var _ tasks.Uploads = (*Client)(nil)

// New returns a Client, or what is wrong with the hosts. It asks nobody.
func New(o Options) (*Client, error) {
	allowed, err := parseHosts(o.Hosts, o.BackendURL)
	if err != nil {
		return nil, err
	}
	o.MaxDownloadBytes = orDefault(o.MaxDownloadBytes, 512<<20)
	o.MaxBytes = orDefault(o.MaxBytes, 2<<30)
	o.MaxFiles = orDefault(o.MaxFiles, 50_000)
	o.MaxRatio = orDefault(o.MaxRatio, 100)
	o.MaxDepth = orDefault(o.MaxDepth, 64)
	o.MaxPath = orDefault(o.MaxPath, 1024)
	o.Timeout = orDefault(o.Timeout, 5*time.Minute)
	o.StallTimeout = orDefault(o.StallTimeout, 30*time.Second)
	c := &Client{hosts: allowed, options: o}
	c.web = c.newWeb()
	return c, nil
}

// Close ends the connections that are kept for the next upload.
func (c *Client) Close() { c.web.CloseIdleConnections() }

// Unpack puts the upload's tree into dir, which must not exist yet and does not
// after an error. An archive with one directory at its top and nothing beside
// it is unpacked without that directory, unless one of from.Paths begins with
// it. Everything else that Unpack writes beside dir is gone when it returns.
func (c *Client) Unpack(ctx context.Context, from tasks.Upload, dir string, rep tasks.Reporter) (err error) {
	u := upload{title: title(from.ID), paths: from.Paths}
	address, err := c.hosts.address(from.URL.Reveal())
	if err != nil {
		return u.fail(tasks.ReasonSourceRejected, err.Error(), nil)
	}
	u.host = address.Host
	limited, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, errSlow)
	defer cancel()
	work, err := os.MkdirTemp(filepath.Dir(dir), ".upload-")
	if err != nil {
		return u.broken(err)
	}
	defer func() {
		err = errors.Join(err, cleanup(u, os.RemoveAll(work)))
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	archive, err := c.download(limited, u, address, filepath.Join(work, "archive"))
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	tree := filepath.Join(work, "tree")
	done, err := c.extract(limited, archive, tree, u.paths)
	if err != nil {
		return u.explain(limited, err)
	}
	if err := os.Rename(filepath.Join(tree, done.top), dir); err != nil {
		return u.broken(err)
	}
	done.report(rep, u)
	return nil
}

// report says in the build log what was unpacked and what was not.
func (r result) report(rep tasks.Reporter, u upload) {
	_, _ = fmt.Fprintf(rep.Stdout(), "unpacked %s: a %s with %d files, %s\n", u.title, r.format, r.files, byteSize(r.bytes))
	if r.top != "" {
		_, _ = fmt.Fprintf(rep.Stdout(), "the source is the archive's only directory, %s\n", r.top)
	}
	if r.skipped > 0 {
		_, _ = fmt.Fprintf(rep.Stdout(), "%d entries left out: .git and __MACOSX are no part of a source\n", r.skipped)
	}
}

func cleanup(u upload, err error) error {
	if err == nil {
		return nil
	}
	return u.broken(err)
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
