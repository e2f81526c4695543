package vault

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

// Health is what a Vault says of itself without a token.
type Health struct {
	Initialized bool   `json:"initialized"`
	Sealed      bool   `json:"sealed"`
	Version     string `json:"version"`
}

// healthPath asks for one status whatever the state: a standby answers for its
// cluster, and a sealed Vault says that it is.
const healthPath = "/v1/sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200"

// Health asks the environment's Vault how it is. No token is sent, and no error
// holds the address.
func (c *Client) Health(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.opts.Address, "/")+healthPath, nil)
	if err != nil {
		return Health{}, errors.New("the address cannot be used")
	}
	resp, err := c.home.Do(req)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return Health{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var health Health
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &health) != nil {
		return Health{}, fmt.Errorf("status %d, and no answer of Vault's", resp.StatusCode)
	}
	return health, nil
}
