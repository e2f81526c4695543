package natsconn_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/natsconn"
)

// limited connects a user to a server on which it may publish to "yes" only, and
// subscribe as the permission says. Errors beside any call go to the channel.
func limited(t *testing.T, subscribe *embednats.Permission) (*nats.Conn, <-chan error) {
	t.Helper()
	seed, public := newKey(t)
	s := natstest.RunWith(t, embednats.Options{Users: []embednats.User{
		{NKey: public, Publish: &embednats.Permission{Allow: []string{"yes"}}, Subscribe: subscribe},
	}})
	errs := make(chan error, 10)
	o := natsconn.Options{Servers: []string{s.ClientURL()}, Seed: seed, OnError: func(err error) { errs <- err }}
	return connect(t, o), errs
}

// wantDenied waits for the refusal.
func wantDenied(t *testing.T, errs <-chan error, want natsconn.PermissionError) error {
	t.Helper()
	err := receive(t, errs, "the error")
	if got, ok := errors.AsType[*natsconn.PermissionError](err); !ok || *got != want {
		t.Fatalf("OnError got %v, want %v", err, want)
	}
	if !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%v is not the client's own error", err)
	}
	return err
}

func TestAForbiddenPublishIsNamed(t *testing.T) {
	t.Parallel()
	nc, errs := limited(t, nil)
	if err := nc.Publish(`no."quoted"`, nil); err != nil {
		t.Fatal(err)
	}
	err := wantDenied(t, errs, natsconn.PermissionError{Subject: `no."quoted"`, Operation: natsconn.OpPublish})
	if got, want := err.Error(), `the NATS server does not permit us to publish to "no.\"quoted\""`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAForbiddenSubscriptionIsNamed(t *testing.T) {
	t.Parallel()
	nc, errs := limited(t, &embednats.Permission{Allow: []string{"yes"}})
	sub, err := nc.QueueSubscribeSync("no.*", "queue")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(soon); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("NextMsg: got %v, want %v", err, nats.ErrPermissionViolation)
	}
	wantDenied(t, errs, natsconn.PermissionError{Subject: "no.*", Operation: natsconn.OpSubscribe})
}
