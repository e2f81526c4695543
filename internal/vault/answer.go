package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// busyError is an answer that says: not now.
type busyError struct {
	status int
	said   string
}

func (e *busyError) Error() string { return fmt.Sprintf("status %d%s", e.status, e.said) }

// readAnswer makes sense of a status and a body, as far as that does not depend
// on what was asked.
func (s *session) readAnswer(what string, status int, text []byte) (answer, error) {
	a := answer{status: status}
	if len(text) > maxAnswer {
		return a, s.fail(tasks.ReasonSecretsBroken, what, fmt.Sprintf("the answer is larger than %d MiB", maxAnswer>>20), nil)
	}
	parsed := len(text) == 0 || json.Unmarshal(text, &a) == nil
	said := s.quote(a.Errors)
	switch {
	case status == http.StatusServiceUnavailable && strings.Contains(said, "sealed"):
		return a, s.fail(tasks.ReasonSecretsDown, what, "Vault is sealed", &busyError{status, said})
	case status == http.StatusTooManyRequests:
		return a, s.fail(tasks.ReasonSecretsDown, what, "Vault limits our requests", &busyError{status, said})
	case status >= 500 && !refusesLogin(a), status == http.StatusPreconditionFailed:
		return a, s.fail(tasks.ReasonSecretsDown, what, fmt.Sprintf("Vault cannot answer (status %d)", status), &busyError{status, said})
	case !parsed:
		return a, s.fail(tasks.ReasonSecretsBroken, what, fmt.Sprintf("the answer (status %d) is not one of Vault's", status), nil)
	}
	return a, nil
}

// unreachable explains why there was no answer.
func (s *session) unreachable(what string, err error) error {
	// The URL is left out: what matters of it is in the message.
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	switch {
	case errors.Is(err, errOtherHost):
		return s.fail(tasks.ReasonSecretsBroken, what, "it sends us to another host, which gets no token", nil)
	case untrusted(err):
		return s.fail(tasks.ReasonSecretsBroken, what, "TLS: "+err.Error(), nil)
	case errors.Is(err, context.DeadlineExceeded):
		return s.fail(tasks.ReasonSecretsDown, what, fmt.Sprintf("no answer within %s", s.client.opts.Timeout), nil)
	default:
		return s.fail(tasks.ReasonSecretsDown, what, "no connection", err)
	}
}

// untrusted reports whether TLS failed in a way that stays.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &record) ||
		errors.As(err, &alert) || errors.Is(err, http.ErrSchemeMismatch)
}

// loginRefused explains a login that Vault did not grant. A wrong secret id is
// a 500 in many versions; trying it again never helps.
func (s *session) loginRefused(what string, a answer) error {
	said := errors.New(strings.TrimPrefix(s.quote(a.Errors), ": "))
	switch {
	case refusesLogin(a):
		return s.fail(tasks.ReasonSecretsDenied, what, "the role id or the secret id is wrong, has expired or is used up", said)
	case a.status == http.StatusForbidden:
		return s.fail(tasks.ReasonSecretsDenied, what, "permission denied: the role may not log in from here", said)
	case a.status == http.StatusNotFound:
		return s.fail(tasks.ReasonSecretsBroken, what, "AppRole is not enabled at auth/approle", said)
	default:
		return s.fail(tasks.ReasonSecretsBroken, what, fmt.Sprintf("status %d", a.status), said)
	}
}

// refusesLogin knows the texts with which Vault's versions refuse a role.
func refusesLogin(a answer) bool {
	for _, text := range a.Errors {
		text = strings.ReplaceAll(strings.ToLower(text), "_", " ")
		if strings.Contains(text, "secret id") || strings.Contains(text, "role id") {
			return true
		}
	}
	return false
}

// quote returns what Vault said, on one line and without what is hidden.
func (s *session) quote(texts []string) string {
	const most = 300
	said := strings.Join(strings.Fields(redact.CleanLine(strings.Join(texts, "; "))), " ")
	for _, text := range s.hidden {
		said = strings.ReplaceAll(said, text, redact.Mask)
	}
	if said == "" {
		return ""
	}
	return ": " + said[:min(len(said), most)]
}
