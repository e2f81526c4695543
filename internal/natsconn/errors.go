package natsconn

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// What can be wrong at start. Connect wraps one of them, or the cause of a
// context that ended.
var (
	// ErrNoServers: the options name no server, or something that is none.
	ErrNoServers = errors.New("no server to connect to")
	// ErrCredentials: the seed or the credentials file cannot be read.
	ErrCredentials = errors.New("no usable credentials")
	// ErrUnauthorized: a server does not know us, or wants a key that we have not.
	ErrUnauthorized = errors.New("authorization refused by the server")
	// ErrTLS: a certificate was refused or its file cannot be read.
	ErrTLS = errors.New("no TLS connection")
	// ErrUnreachable: no server answered in time.
	ErrUnreachable = errors.New("no server answered")
)

// The operations of a PermissionError.
const (
	OpPublish   = "publish"
	OpSubscribe = "subscribe"
)

// PermissionError says that the server does not let us use a subject.
type PermissionError struct {
	// Subject is what we used; for a subscription it may hold wildcards.
	Subject string
	// Operation is OpPublish or OpSubscribe.
	Operation string
}

// Error names the operation and the subject.
func (e *PermissionError) Error() string {
	return fmt.Sprintf("the NATS server does not permit us to %s to %q", e.Operation, e.Subject)
}

// Unwrap lets errors.Is find the client's own error.
func (e *PermissionError) Unwrap() error { return nats.ErrPermissionViolation }

var authErrors = []error{
	nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrNkeysNotSupported,
}

var tlsErrors = []error{nats.ErrTLS, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted}

// refusal names an error of a first connection.
func refusal(err error) error {
	if isOneOf(err, authErrors) {
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	if isOneOf(err, tlsErrors) || isTLSAlert(err) {
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return err
}

func isOneOf(err error, list []error) bool {
	for _, target := range list {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// isTLSAlert recognises the other side's refusal during or after a handshake: in
// TLS 1.3 the answer to a missing certificate comes with the first read.
func isTLSAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) (?:to|with reply of) ("(?:[^"\\]|\\.)*")`)

// named turns the text that a server sends about a forbidden subject into a
// *PermissionError and leaves other errors alone.
func named(err error) error {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	parts := violation.FindStringSubmatch(err.Error())
	if parts == nil {
		return err
	}
	subject, unquoteErr := strconv.Unquote(parts[2])
	if unquoteErr != nil {
		return err
	}
	operation := OpSubscribe
	if strings.EqualFold(parts[1], "publish") {
		operation = OpPublish
	}
	return &PermissionError{Subject: subject, Operation: operation}
}
