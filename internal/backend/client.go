package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// maxAnswer is far above any answer of the API.
const maxAnswer = 64 << 10

// Options say which API is the environment's and how patient to be with any.
type Options struct {
	// URL is the environment's API and Token its token; both may be empty.
	URL   string
	Token tasks.Secret
	// Timeout ends one call (2 s).
	Timeout time.Duration
	// Patience is how long all calls together may hold up one attempt (2.5 s).
	Patience time.Duration
	// Warn hears of the first call of an attempt that failed; nil where nobody
	// does. It is called from any goroutine.
	Warn func(context.Context, error)
}

// Client talks to the API. It is safe for concurrent use.
type Client struct {
	opts Options
	http *http.Client
}

var _ tasks.Platform = (*Client)(nil)

// New returns a client; it asks nobody.
func New(opts Options) *Client {
	if opts.Timeout <= 0 {
		opts.Timeout = 2 * time.Second
	}
	if opts.Patience <= 0 {
		opts.Patience = 2500 * time.Millisecond
	}
	if opts.Warn == nil {
		opts.Warn = func(context.Context, error) {}
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: opts.Timeout, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 4,
	}
	return &Client{opts: opts, http: &http.Client{Transport: transport, CheckRedirect: stayOnHost}}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

var (
	errOtherHost = errors.New("it sends us to another host")
	errTooLarge  = errors.New("the answer is too large")
	// errSilent is a call without an answer: the next one would have none either.
	errSilent = errors.New("no answer")
)

func stayOnHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || !tasks.SameHost(req.URL, via[0].URL) {
		return errOtherHost
	}
	return nil
}

// api is one API as one attempt uses it.
type api struct {
	client *Client
	base   *url.URL
	token  string
}

// open picks the address and the token; nil where there is no API.
func (c *Client) open(about tasks.PlatformTask) *api {
	address := about.URL
	if address == "" {
		address = c.opts.URL
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil
	}
	token := about.Token.Reveal()
	if token == "" && tasks.SameAddress(address, c.opts.URL) {
		token = c.opts.Token.Reveal()
	}
	return &api{client: c, base: base, token: token}
}

// call is one request; a nil body sends none.
type call struct {
	method string
	path   string
	query  url.Values
	body   any
}

// do sends one request and reads its answer. Errors name the host and the path;
// those without any answer are errSilent.
func (a *api) do(ctx context.Context, c call, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	text, err := a.send(ctx, c)
	if err == nil {
		return text, nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w within %s", errSilent, limit.Round(time.Millisecond))
	}
	return nil, &callError{text: fmt.Sprintf("%s %s%s: %s", c.method, a.base.Host, c.path, a.hide(err.Error())), err: err}
}

// callError is what went wrong, in words that may be shown.
type callError struct {
	text string
	err  error
}

// Error returns the words.
func (e *callError) Error() string { return e.text }

// Is tells errors that stay from those that do not; their texts stay inside.
func (e *callError) Is(target error) bool { return errors.Is(e.err, target) }

func (a *api) hide(text string) string {
	return redact.New(a.token).String(redact.CleanLine(text))
}

func (a *api) send(ctx context.Context, c call) ([]byte, error) {
	req, err := a.newRequest(ctx, c)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.http.Do(req)
	if err != nil {
		var outer *url.Error // its text is the URL, token and all
		if errors.As(err, &outer) {
			err = outer.Err
		}
		if errors.Is(err, errOtherHost) {
			return nil, errOtherHost
		}
		return nil, fmt.Errorf("%w: %w", errSilent, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errSilent, err)
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	case len(text) > maxAnswer:
		return nil, errTooLarge
	}
	return text, nil
}

func (a *api) newRequest(ctx context.Context, c call) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := *a.base
	target.Path, target.RawPath, target.Fragment = strings.TrimRight(a.base.Path, "/")+c.path, "", ""
	query := url.Values{}
	for name, values := range c.query {
		query[name] = values
	}
	if a.token != "" {
		query.Set("accessToken", a.token)
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, c.method, target.String(), body)
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// domainName is what an answer may put into a job.
var domainName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$`)

func (a *api) domain(ctx context.Context, service string, limit time.Duration) (string, error) {
	c := call{method: http.MethodGet, path: "/api/local/ask-domain", query: url.Values{"serviceId": {service}}}
	text, err := a.do(ctx, c, limit)
	if err != nil {
		return "", err
	}
	var answer struct {
		Domain string `json:"domain"`
	}
	if json.Unmarshal(text, &answer) != nil || !domainName.MatchString(answer.Domain) {
		return "", fmt.Errorf("%s %s%s: the answer holds no domain", c.method, a.base.Host, c.path)
	}
	return answer.Domain, nil
}

// stepBody is the body of a step's update.
type stepBody struct {
	DeploymentID   string               `json:"deploymentId"`
	DeploymentType string               `json:"deploymentType"`
	Step           tasks.PlatformStep   `json:"step"`
	Status         tasks.PlatformStatus `json:"status"`
	Error          string               `json:"error"`
}

// serviceBody is the body of a service's update: which service it is about.
type serviceBody struct {
	ServiceID string `json:"serviceId"`
}

func stepCall(body stepBody) call {
	return call{method: http.MethodPut, path: "/api/local/deployment-step/update", body: body}
}

func serviceCall(service string) call {
	return call{method: http.MethodPut, path: "/api/local/service-update/", body: serviceBody{ServiceID: service}}
}
