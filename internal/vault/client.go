package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Options say which Vault is the environment's and how patient to be with any.
type Options struct {
	// Address is the environment's Vault and Token its token; both may be empty.
	// The token goes to this address alone, and only for a task without a role.
	Address string
	Token   tasks.Secret
	// Namespace goes with every request; empty sends none.
	Namespace string
	// CACert is a file of the certificates that sign Vault's; empty takes the
	// system's. ClientCert and ClientKey are the files of our own, which is shown
	// to Address alone.
	CACert     string
	ClientCert string
	ClientKey  string

	// Timeout ends one request (10 s).
	Timeout time.Duration
	// RetryWait is the wait before a read is tried again, doubled before the next (500 ms).
	RetryWait time.Duration
}

// Client reads secrets. It is safe for concurrent use.
type Client struct {
	opts Options
	// home asks the environment's Vault with our own certificate, away every
	// other without it: whatever a task names is not to be let in by it.
	home, away *http.Client
}

var _ tasks.SecretStore = (*Client)(nil)

// New returns a client; it asks nobody. Its errors name the file that cannot be used.
func New(opts Options) (*Client, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.RetryWait <= 0 {
		opts.RetryWait = 500 * time.Millisecond
	}
	tlsConfig, err := tlsConfigOf(opts)
	if err != nil {
		return nil, err
	}
	anonymous := tlsConfig.Clone()
	anonymous.Certificates = nil
	return &Client{opts: opts, home: newHTTP(opts, tlsConfig), away: newHTTP(opts, anonymous)}, nil
}

func newHTTP(opts Options, tlsConfig *tls.Config) *http.Client {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig,
		TLSHandshakeTimeout: opts.Timeout, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 2,
	}
	return &http.Client{Transport: transport, CheckRedirect: stayOnHost}
}

// Close gives up idle connections.
func (c *Client) Close() {
	c.home.CloseIdleConnections()
	c.away.CloseIdleConnections()
}

func tlsConfigOf(opts Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if opts.CACert != "" {
		text, err := os.ReadFile(opts.CACert)
		if err != nil {
			return nil, fmt.Errorf("read VAULT_CACERT: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read VAULT_CACERT: %s holds no certificate", opts.CACert)
		}
	}
	if opts.ClientCert != "" || opts.ClientKey != "" {
		pair, err := tls.LoadX509KeyPair(opts.ClientCert, opts.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("read VAULT_CLIENT_CERT and VAULT_CLIENT_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

var errOtherHost = errors.New("it sends us to another host")

// stayOnHost keeps tokens on the host that they are for.
func stayOnHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || !tasks.SameHost(req.URL, via[0].URL) {
		return errOtherHost
	}
	return nil
}

// Read reads the secrets of a build, logging in before and revoking after.
func (c *Client) Read(ctx context.Context, q tasks.SecretQuery, rep tasks.Reporter) (map[string]tasks.Secret, error) {
	places, err := locate(q)
	if err != nil {
		return nil, err
	}
	s, err := c.open(q)
	if err != nil {
		return nil, err
	}
	if s.token == "" && q.RoleID == "" {
		_, _ = fmt.Fprintf(rep.Stdout(), "secrets: the task has no role for Vault at %s; the build gets none\n", s.host())
		return nil, nil
	}
	if q.RoleID != "" {
		if err := s.login(ctx, q); err != nil {
			return nil, err
		}
		defer s.revoke(ctx)
	}
	return s.readAll(ctx, places, rep)
}
