package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Address is where the daemon is.
func (c *Client) Address() string { return c.options.Address }

// Daemon is what a buildkitd says of itself.
type Daemon struct {
	Version string
	Workers []Worker
	// CacheBytes is how much the build cache takes; -1 where it was not counted in time.
	CacheBytes int64
}

// Worker is one of the daemon's.
type Worker struct {
	// Platforms are what it can build for, linux/amd64 and the like.
	Platforms []string
	// Capped is true where a rule for the whole cache has a most that it may
	// use, or a least that must stay free on the disk. A reserved space alone is
	// a floor: the cache grows above it.
	Capped bool
}

// Diagnose asks the daemon what it is. It builds nothing. Its error is a
// *tasks.Failure with the reason builder_unavailable.
func (c *Client) Diagnose(ctx context.Context) (Daemon, error) {
	conn, err := c.dial()
	if err != nil {
		return Daemon{}, err
	}
	defer func() { _ = conn.Close() }()
	if err := c.ask(ctx, conn); err != nil {
		return Daemon{}, err
	}
	version, err := conn.Version(ctx)
	if err != nil {
		return Daemon{}, c.down("does not say its version", err)
	}
	daemon := Daemon{Version: version, CacheBytes: -1}
	workers, err := conn.Workers(ctx)
	if err != nil {
		return daemon, c.down("does not list its workers", err)
	}
	for _, worker := range workers {
		daemon.Workers = append(daemon.Workers, newWorker(worker))
	}
	if bytes, err := conn.CacheBytes(ctx); err == nil {
		daemon.CacheBytes = bytes
	}
	return daemon, nil
}

func newWorker(info *control.Worker) Worker {
	var worker Worker
	for _, platform := range info.Platforms {
		text := platform.OS + "/" + platform.Architecture
		if platform.Variant != "" {
			text += "/" + platform.Variant
		}
		worker.Platforms = append(worker.Platforms, text)
	}
	worker.Capped = slices.ContainsFunc(info.GCPolicy, func(rule *control.Rule) bool {
		return len(rule.Filters) == 0 && rule.KeepDuration == 0 && (rule.MaxUsedSpace > 0 || rule.MinFreeSpace > 0)
	})
	return worker
}

// TryPush asks whether the credentials may push to a repository of a registry:
// an upload is begun and cancelled, and nothing is stored. Its error is a
// *tasks.Failure: registry_auth where they may not, else registry_unavailable.
func (r *Registry) TryPush(ctx context.Context, host, repository string, creds tasks.Credentials) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	place, err := name.NewRepository(host+"/"+repository, r.nameOptions(host)...)
	if err != nil {
		return tasks.Fail(tasks.ReasonImageInvalid, fmt.Sprintf("%s/%s is no repository", host, repository), err)
	}
	authorized, err := transport.NewWithContext(ctx, place.Registry, authenticator(creds), r.guarded(), []string{place.Scope(transport.PushScope)})
	if err != nil {
		return pushRefused(place, creds, err)
	}
	httpClient := &http.Client{Transport: authorized, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	upload, err := beginUpload(ctx, httpClient, place)
	if err != nil {
		return pushRefused(place, creds, err)
	}
	cancelUpload(ctx, httpClient, upload)
	return nil
}

// beginUpload returns where the upload would go on; nil where the registry does not say.
func beginUpload(ctx context.Context, c *http.Client, place name.Repository) (*url.URL, error) {
	address := url.URL{Scheme: place.Scheme(), Host: place.RegistryStr(), Path: "/v2/" + place.RepositoryStr() + "/blobs/uploads/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := transport.CheckError(resp, http.StatusAccepted, http.StatusCreated); err != nil {
		return nil, err
	}
	location, err := resp.Location()
	if err != nil || location.Host != address.Host {
		return nil, nil // nothing that is ours to cancel
	}
	return location, nil
}

// cancelUpload tidies up. A registry removes what it is not asked to in its own time.
func cancelUpload(ctx context.Context, c *http.Client, upload *url.URL) {
	if upload == nil {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, upload.String(), nil)
	if err != nil {
		return
	}
	if resp, err := c.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// pushRefused says why, in the words of a push.
func pushRefused(place name.Repository, creds tasks.Credentials, err error) error {
	call := registryCall{what: "push to " + place.String(), missing: "the registry does not know the repository", credentials: creds.Set()}
	var answered *transport.Error
	if errors.As(err, &answered) && (answered.StatusCode == http.StatusUnauthorized || answered.StatusCode == http.StatusForbidden) {
		return tasks.Fail(tasks.ReasonRegistryAuth, call.what+": "+call.refused(), err)
	}
	return registryFailed(call, err.Error(), err)
}
