package nomad

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Options says which Nomad is the environment's and how patient to be with it.
// An empty string takes what Nomad's own client reads from the environment, a
// zero duration or number the default named here.
type Options struct {
	Address   string
	Token     tasks.Secret
	Namespace string
	Region    string

	// RequestTimeout ends a request that does not block (8 s).
	RequestTimeout time.Duration
	// WaitTime is how long the server holds a blocking query (30 s).
	WaitTime time.Duration
	// UnavailableLimit ends a watch or a destroy that gets no answer for so long (2 min).
	UnavailableLimit time.Duration

	// PlacementGrace is how long a job that finds no room may wait for some (10 s).
	PlacementGrace time.Duration
	// UnhealthyGrace is how long Nomad may take to fail a hopeless deployment
	// by itself, before we ask it to (5 s).
	UnhealthyGrace time.Duration
	// Settle is how long the allocations of a job without a deployment must run
	// without a restart (10 s).
	Settle time.Duration
	// CrashLoopRestarts is the number of restarts that makes a task hopeless (5).
	CrashLoopRestarts int
	// LogBytes is how much of one task's stdout or stderr is shown (1 MiB); of
	// what is longer only the last lines follow.
	LogBytes int64

	// DestroyTimeout is how long the allocations of a stopped job may take to end (3 min).
	DestroyTimeout time.Duration
}

func (o Options) withDefaults() Options {
	orDuration := func(d *time.Duration, fallback time.Duration) {
		if *d <= 0 {
			*d = fallback
		}
	}
	orDuration(&o.RequestTimeout, 8*time.Second)
	orDuration(&o.WaitTime, 30*time.Second)
	orDuration(&o.UnavailableLimit, 2*time.Minute)
	orDuration(&o.PlacementGrace, 10*time.Second)
	orDuration(&o.UnhealthyGrace, 5*time.Second)
	orDuration(&o.Settle, 10*time.Second)
	orDuration(&o.DestroyTimeout, 3*time.Minute)
	if o.CrashLoopRestarts <= 0 {
		o.CrashLoopRestarts = 5
	}
	if o.LogBytes <= 0 {
		o.LogBytes = 1 << 20
	}
	return o
}

// Client registers, follows and destroys jobs. It is safe for concurrent use.
type Client struct {
	opts Options
	env  *api.Config
	http *http.Client
}

var _ tasks.Deployer = (*Client)(nil)

// New makes a Client for the environment's Nomad. It sends nothing yet, so a
// Nomad that is away is no error; an address that is none is one.
func New(opts Options) (*Client, error) {
	env := api.DefaultConfig()
	override(&env.Address, opts.Address)
	override(&env.SecretID, opts.Token.Reveal())
	override(&env.Region, opts.Region)
	override(&env.Namespace, opts.Namespace)
	if env.Namespace == "" {
		env.Namespace = api.DefaultNamespace
	}
	address, err := url.Parse(env.Address)
	if err != nil || !isAddress(address) && address.Scheme != "unix" {
		return nil, fmt.Errorf("the Nomad address %q is none: want http://host:4646, https://… or unix://…", redacted(env.Address))
	}
	client, err := newHTTPClient(address, env.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("the TLS settings for Nomad: %w", err)
	}
	return &Client{opts: opts.withDefaults(), env: env, http: client}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func override(field *string, value string) {
	if value != "" {
		*field = value
	}
}

// isAddress reports whether a task may bring this address.
func isAddress(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// redacted is an address without its password, for a message.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "…"
	}
	return u.Redacted()
}

// newHTTPClient makes the one client of all clusters. A redirect is an answer
// like any other: following it would carry the token to another host.
func newHTTPClient(env *url.URL, config *api.TLSConfig) (*http.Client, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if env.Scheme == "unix" && address == unixHost {
				return dialer.DialContext(ctx, "unix", env.Path)
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := api.ConfigureTLS(client, config); err != nil {
		return nil, err
	}
	client.Transport = &limitedTransport{next: transport}
	return client, nil
}
