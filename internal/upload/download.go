package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// maxRedirects is how often an upload may have moved.
const maxRedirects = 5

func (c *Client) newWeb() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			// An archive is taken as it is; decoding it here would hide its size.
			DisableCompression:     true,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: c.redirect,
	}
}

// redirect follows to allowed hosts alone.
func (c *Client) redirect(next *http.Request, before []*http.Request) error {
	// The old address with its query would go to the new host.
	next.Header.Del("Referer")
	if len(before) > maxRedirects {
		return &refused{"it redirects too often"}
	}
	if err := c.hosts.check(next.URL); err != nil {
		return &refused{"it redirects, and " + err.Error()}
	}
	return nil
}

// refused is a redirect that is not followed.
type refused struct{ why string }

func (r *refused) Error() string { return r.why }

// download writes the archive to a new file and returns it.
func (c *Client) download(ctx context.Context, u upload, address *url.URL, name string) (*os.File, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// It runs until the last byte, so that a host that accepts and says nothing is noticed too.
	silence := time.AfterFunc(c.options.StallTimeout, func() { cancel(errSilent) })
	defer silence.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, u.fail(tasks.ReasonSourceRejected, "its address is not a URL", nil)
	}
	req.Header.Set("User-Agent", "dispatchd")
	response, err := c.web.Do(req)
	if err != nil {
		return nil, u.unreachable(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, u.answered(response.StatusCode)
	}
	if response.ContentLength > c.options.MaxDownloadBytes {
		return nil, u.downloadTooLarge(c.options.MaxDownloadBytes)
	}
	body := &heard{from: response.Body, silence: silence, patience: c.options.StallTimeout}
	return c.save(ctx, u, body, name)
}

// save writes what comes to the file, up to the limit.
func (c *Client) save(ctx context.Context, u upload, body io.Reader, name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, u.broken(err)
	}
	written, err := io.Copy(file, io.LimitReader(body, c.options.MaxDownloadBytes+1))
	switch {
	case isOurs(err):
		err = u.broken(err)
	case err != nil:
		err = u.unreachable(ctx, err)
	case written > c.options.MaxDownloadBytes:
		err = u.downloadTooLarge(c.options.MaxDownloadBytes)
	default:
		return file, nil
	}
	return nil, errors.Join(err, file.Close())
}

// heard puts the end of the silence off with every byte.
type heard struct {
	from     io.Reader
	silence  *time.Timer
	patience time.Duration
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	if n > 0 {
		h.silence.Reset(h.patience)
	}
	return n, err
}

// answered is the failure for a status other than 200.
func (u upload) answered(status int) *tasks.Failure {
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return u.fail(tasks.ReasonSourceNotFound, fmt.Sprintf("%s does not have it (status %d)", u.host, status), nil)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return u.fail(tasks.ReasonSourceRejected, fmt.Sprintf("%s refused its address (status %d); it may have expired", u.host, status), nil)
	case status/100 == 5, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return u.fail(tasks.ReasonSourceDown, fmt.Sprintf("%s answered with status %d", u.host, status), nil)
	}
	return u.fail(tasks.ReasonSourceRejected, fmt.Sprintf("%s answered with status %d instead of an archive", u.host, status), nil)
}
