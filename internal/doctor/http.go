package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/dispatchd/dispatchd/internal/vault"
)

// HTTP asks the servers that need no client of their own.
type HTTP struct {
	// Client has its own limits; it follows no redirects.
	Client *http.Client
}

// NewHTTP returns one with a client that follows no redirect and keeps no connection.
func NewHTTP() HTTP {
	return HTTP{Client: &http.Client{
		Timeout:       Limit,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get returns the status. Its error holds no URL: a query may be a token.
func (h HTTP) get(ctx context.Context, address string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, errors.New("the address cannot be used")
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// Sealable is a Vault: *vault.Client.
type Sealable interface {
	Health(ctx context.Context) (vault.Health, error)
}

// Vault asks a Vault for its health, which needs no token.
func Vault(ctx context.Context, address string, v Sealable) []Result {
	tried := "ask Vault at " + address + " for its health"
	health, err := v.Health(ctx)
	switch {
	case err != nil:
		return []Result{bad(Fail, tried, err.Error(), remedy{"VAULT_ADDR", "start Vault, or correct the address; behind TLS see VAULT_CACERT too"})}
	case !health.Initialized:
		return []Result{bad(Fail, tried, "it is not initialized", remedy{"VAULT_ADDR", "initialize Vault"})}
	case health.Sealed:
		return []Result{bad(Fail, tried, "it is sealed", remedy{"VAULT_ADDR", "unseal Vault"})}
	}
	return []Result{good(tried, "version %s, unsealed", health.Version)}
}

// Backend asks the platform's API for any answer: it has no address that only
// tells whether it is there.
func (h HTTP) Backend(ctx context.Context, address string) []Result {
	tried := "reach the backend at " + address
	code, err := h.get(ctx, address)
	switch {
	case err != nil:
		return []Result{bad(Warn, tried, err.Error(), remedy{"BACKEND_URL", "start the backend, or correct the address; deployments go on without it"})}
	case code >= http.StatusInternalServerError:
		return []Result{bad(Warn, tried, fmt.Sprintf("status %d", code), remedy{"BACKEND_URL", "see why the backend is not well; deployments go on without it"})}
	}
	return []Result{good(tried, "status %d", code)}
}
