package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// maxAnswer is far above any secret that Vault stores.
	maxAnswer = 4 << 20
	// readTries is how often one read is tried while Vault answers that it
	// cannot now: a new login may not be possible, a secret id is often good for one.
	readTries = 3
	// revokeTimeout bounds the last request, which nobody waits for gladly.
	revokeTimeout = 2 * time.Second
)

// session is one Vault as one Read uses it. It is used by one goroutine.
type session struct {
	client *Client
	http   *http.Client
	base   *url.URL
	token  string
	// hidden are the texts that no error may show: the token and the secret id.
	hidden []string
	// byRole is true where the token is the role's, which is ours to revoke.
	byRole bool
	// limit is how many requests the token is good for, 0 for any number; used
	// counts them.
	limit, used int
}

// open picks the address, and the environment's token where it may be used.
func (c *Client) open(q tasks.SecretQuery) (*session, error) {
	if q.RoleID == "" && q.SecretID.Set() {
		return nil, invalid("the task has a secretId but no roleId")
	}
	address := q.Address
	if address == "" {
		address = c.opts.Address
	}
	if address == "" {
		return nil, tasks.Fail(tasks.ReasonSecretsBroken,
			"secrets: neither the task (vaultAddress) nor the worker (VAULT_ADDR) says where Vault is", nil)
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, invalid("the address of Vault is no http or https address")
	}
	s := &session{client: c, http: c.away, base: base}
	home := tasks.SameAddress(address, c.opts.Address)
	if home {
		s.http = c.home
	}
	if q.RoleID == "" && home {
		s.token = c.opts.Token.Reveal()
	}
	s.hide(s.token, q.SecretID.Reveal())
	return s, nil
}

func (s *session) host() string { return s.base.Host }

func (s *session) hide(texts ...string) {
	for _, text := range texts {
		if text != "" {
			s.hidden = append(s.hidden, text)
		}
	}
}

// request is one call of the API.
type request struct {
	// what is what the call is for, as messages say it: `read kv/data/p/s`.
	what   string
	method string
	path   string
	query  url.Values
	body   any
}

// answer is what Vault said, whatever the status.
type answer struct {
	status   int
	Data     json.RawMessage `json:"data"`
	Errors   []string        `json:"errors"`
	Warnings []string        `json:"warnings"`
	Auth     *struct {
		Token string `json:"client_token"`
		Uses  int    `json:"num_uses"`
	} `json:"auth"`
}

// call sends one request and reads the answer whole. A failure means that there
// was none of Vault's, or that Vault cannot answer now.
func (s *session) call(ctx context.Context, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.client.opts.Timeout)
	defer cancel()
	req, err := s.newRequest(ctx, r)
	if err != nil {
		return answer{}, s.fail(tasks.ReasonInternal, r.what, "the request cannot be made", err)
	}
	if s.token != "" {
		s.used++
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, s.unreachable(r.what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, s.unreachable(r.what, err)
	}
	return s.readAnswer(r.what, resp.StatusCode, text)
}

func (s *session) newRequest(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := *s.base
	target.Path = strings.TrimRight(s.base.Path, "/") + "/v1/" + r.path
	target.RawQuery, target.Fragment = r.query.Encode(), ""
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Request", "true")
	if s.token != "" {
		req.Header.Set("X-Vault-Token", s.token)
	}
	if s.client.opts.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", s.client.opts.Namespace)
	}
	return req, nil
}

// fail makes a failure that says what was tried and where.
func (s *session) fail(reason tasks.Reason, what, why string, err error) *tasks.Failure {
	return tasks.Fail(reason, fmt.Sprintf("%s (Vault at %s): %s", what, s.host(), why), err)
}

// login gets a token for the role. The secret id may be good for one login
// only, so nothing here is tried twice.
func (s *session) login(ctx context.Context, q tasks.SecretQuery) error {
	body := map[string]string{"role_id": q.RoleID}
	if q.SecretID.Set() {
		body["secret_id"] = q.SecretID.Reveal()
	}
	r := request{what: "log in by AppRole", method: http.MethodPost, path: "auth/approle/login", body: body}
	a, err := s.call(ctx, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return s.loginRefused(r.what, a)
	}
	if a.Auth == nil || a.Auth.Token == "" {
		return s.fail(tasks.ReasonSecretsBroken, r.what, "the answer holds no token", nil)
	}
	s.token, s.limit, s.byRole = a.Auth.Token, a.Auth.Uses, true
	s.hide(s.token)
	return nil
}

// revoke ends the token, also after a failure or a cancel. One that cannot be
// revoked ends by itself, when its uses or its time are up.
func (s *session) revoke(ctx context.Context) {
	if s.limit > 0 && s.used >= s.limit {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	_, _ = s.call(ctx, request{what: "revoke the token", method: http.MethodPost, path: "auth/token/revoke-self", body: struct{}{}})
}

// patiently repeats a read while Vault says that it cannot answer now.
func (s *session) patiently(ctx context.Context, r request) (answer, error) {
	wait := s.client.opts.RetryWait
	for try := 1; ; try++ {
		a, err := s.call(ctx, r)
		var busy *busyError
		if err == nil || try == readTries || !errors.As(err, &busy) {
			return a, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return a, err
		}
		wait *= 2
	}
}
