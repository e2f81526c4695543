package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
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

// maxAnswer is what is read of an answer.
const maxAnswer = 64 << 10

// get returns the status and the body. Its error holds no URL: a query may be a token.
func (h HTTP) get(ctx context.Context, address string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, errors.New("the address cannot be used")
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// Vault asks a Vault for its health, which needs no token.
func (h HTTP) Vault(ctx context.Context, address string) []Result {
	tried := "ask Vault at " + address + " for its health"
	// A standby answers for its cluster; the codes are made one.
	const path = "/v1/sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200"
	code, body, err := h.get(ctx, strings.TrimSuffix(address, "/")+path)
	if err != nil {
		return []Result{bad(Fail, tried, err.Error(), remedy{"VAULT_ADDR", "start Vault, or correct the address"})}
	}
	var health struct {
		Initialized bool
		Sealed      bool
		Version     string
	}
	switch err := json.Unmarshal(body, &health); {
	case err != nil || code != http.StatusOK:
		return []Result{bad(Fail, tried, fmt.Sprintf("status %d, and no answer of Vault's", code), remedy{"VAULT_ADDR", "correct the address"})}
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
	code, _, err := h.get(ctx, address)
	switch {
	case err != nil:
		return []Result{bad(Warn, tried, err.Error(), remedy{"BACKEND_URL", "start the backend, or correct the address; deployments go on without it"})}
	case code >= http.StatusInternalServerError:
		return []Result{bad(Warn, tried, fmt.Sprintf("status %d", code), remedy{"BACKEND_URL", "see why the backend is not well; deployments go on without it"})}
	}
	return []Result{good(tried, "status %d", code)}
}
