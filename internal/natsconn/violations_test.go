package natsconn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/natsconn"
)

// limited connects a user to a server on which it may publish to "yes" only, and
// subscribe as the permission says.
func limited(t *testing.T, subscribe *embednats.Permission, onError func(error)) (*nats.Conn, *natsconn.Violations) {
	t.Helper()
	seed, public := newKey(t)
	s := natstest.RunWith(t, embednats.Options{Users: []embednats.User{
		{NKey: public, Publish: &embednats.Permission{Allow: []string{"yes"}}, Subscribe: subscribe},
	}})
	violations := &natsconn.Violations{}
	o := natsconn.Options{Servers: []string{s.ClientURL()}, Seed: seed, Violations: violations, OnError: onError}
	return connect(t, o), violations
}

func TestAForbiddenPublishIsNamed(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 10)
	nc, violations := limited(t, nil, func(err error) { errs <- err })
	start := time.Now()
	if err := nc.Publish(`no."quoted"`, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	got := violations.Await(ctx, `no."quoted"`, start)
	if want := (natsconn.PermissionError{Subject: `no."quoted"`, Operation: natsconn.OpPublish}); got == nil || *got != want {
		t.Fatalf("Await = %v, want %v", got, want)
	}
	err := receive(t, errs, "the error")
	if violation, ok := errors.AsType[*natsconn.PermissionError](err); !ok || *violation != *got {
		t.Errorf("OnError got %v, want %v", err, got)
	}
	if !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%v is not the client's own error", err)
	}
	if got, want := err.Error(), `the NATS server does not permit us to publish to "no.\"quoted\""`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAForbiddenSubscriptionIsNamed(t *testing.T) {
	t.Parallel()
	nc, violations := limited(t, &embednats.Permission{Allow: []string{"yes"}}, nil)
	start := time.Now()
	sub, err := nc.QueueSubscribeSync("no.*", "queue")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(soon); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("NextMsg: got %v, want %v", err, nats.ErrPermissionViolation)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	want := natsconn.PermissionError{Subject: "no.*", Operation: natsconn.OpSubscribe}
	if got := violations.Await(ctx, "no.*", start); got == nil || *got != want {
		t.Errorf("Await = %v, want %v", got, want)
	}
}

func TestExplainFindsWhatIsBehindATimeout(t *testing.T) {
	t.Parallel()
	nc, violations := limited(t, nil, nil)
	start := time.Now()
	_, err := nc.Request("no", nil, time.Second)
	if !errors.Is(err, nats.ErrTimeout) {
		t.Fatalf("a forbidden request: got %v, want %v", err, nats.ErrTimeout)
	}
	explained := violations.Explain(err, "no", start)
	if violation, ok := errors.AsType[*natsconn.PermissionError](explained); !ok || violation.Subject != "no" || !errors.Is(explained, nats.ErrTimeout) {
		t.Errorf("Explain = %v, want the violation and the time-out", explained)
	}
	if got := violations.Explain(err, "no", time.Now()); !errors.Is(got, err) || errors.Is(got, nats.ErrPermissionViolation) {
		t.Errorf("Explain of a later request = %v, want %v alone", got, err)
	}
	if got := violations.Explain(err, "other", start); errors.Is(got, nats.ErrPermissionViolation) {
		t.Errorf("Explain of another subject = %v", got)
	}
	if got := violations.Explain(nil, "no", start); got != nil {
		t.Errorf("Explain of no error = %v", got)
	}
}

func TestExplainFindsAForbiddenInbox(t *testing.T) {
	t.Parallel()
	nc, violations := limited(t, &embednats.Permission{Deny: []string{"_INBOX.>"}}, nil)
	if _, err := nc.Request("yes", nil, time.Second); err == nil {
		t.Fatal("an answer came to a forbidden inbox")
	}
	got := violations.Explain(nats.ErrTimeout, "yes", time.Now())
	if violation, ok := errors.AsType[*natsconn.PermissionError](got); !ok || violation.Operation != natsconn.OpSubscribe {
		t.Errorf("Explain = %v, want the forbidden subscription", got)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := new(natsconn.Violations).Await(ctx, "subject", time.Now()); got != nil {
		t.Errorf("got %v", got)
	}
}
