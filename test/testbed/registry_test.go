package testbed_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dispatchd/dispatchd/test/testbed"
)

func TestRegistryKeepsImagesOverAStop(t *testing.T) {
	t.Parallel()
	r := startRegistry(t)
	ref, auth := push(t, r)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(ref, auth, remote.WithContext(t.Context())); err != nil {
		t.Errorf("pull after a restart: %v", err)
	}
}

func TestRegistryWantsItsPassword(t *testing.T) {
	t.Parallel()
	r := startRegistry(t)
	for name, login := range map[string]testbed.Login{
		"no login":       {},
		"wrong password": {Username: r.Login().Username, Password: "wrong"},
		"wrong user":     {Username: "wrong", Password: r.Login().Password},
	} {
		if got := status(t, r, http.MethodGet, login); got != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", name, got)
		}
	}
	if got := status(t, r, http.MethodGet, r.Login()); got != http.StatusOK {
		t.Errorf("right login: status %d, want 200", got)
	}
}

func TestRegistryFaults(t *testing.T) {
	t.Parallel()
	r := startRegistry(t)
	rows := []struct {
		name        string
		fault       testbed.Fault
		read, write int
	}{
		{"a status for everybody", testbed.Fault{Status: 429}, 429, 429},
		{"a status for pushes", testbed.Fault{Status: 500, WritesOnly: true}, 200, 500},
		{"a refused login", testbed.Fault{Status: 401}, 401, 401},
	}
	for _, row := range rows {
		if err := r.SetFault(t.Context(), row.fault); err != nil {
			t.Fatal(err)
		}
		if got := status(t, r, http.MethodGet, r.Login()); got != row.read {
			t.Errorf("%s: GET answers %d, want %d", row.name, got, row.read)
		}
		if got := status(t, r, http.MethodPost, r.Login()); got != row.write {
			t.Errorf("%s: POST answers %d, want %d", row.name, got, row.write)
		}
	}
	if err := r.SetFault(t.Context(), testbed.Fault{}); err != nil {
		t.Fatal(err)
	}
	push(t, r)
}

func TestRegistryRefusesConnections(t *testing.T) {
	t.Parallel()
	r := startRegistry(t)
	addr := r.Addr()
	if err := r.SetFault(t.Context(), testbed.Fault{Refuse: true}); err != nil {
		t.Fatal(err)
	}
	_, err := do(t.Context(), addr, http.MethodGet, r.Login())
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("GET says %v, want a refused connection", err)
	}
	if err := r.SetFault(t.Context(), testbed.Fault{}); err != nil {
		t.Fatal(err)
	}
	if got := status(t, r, http.MethodGet, r.Login()); got != http.StatusOK || r.Addr() != addr {
		t.Errorf("healed: status %d at %s, want 200 at %s", got, r.Addr(), addr)
	}
}

func TestRegistryHangsUntilItIsHealed(t *testing.T) {
	t.Parallel()
	r := startRegistry(t)
	if err := r.SetFault(t.Context(), testbed.Fault{Hang: true}); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := do(short, r.Addr(), http.MethodGet, r.Login()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request with a deadline says %v, want that deadline", err)
	}
	sent, answered := make(chan struct{}), make(chan int, 1)
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }}
	go func() {
		code, _ := do(httptrace.WithClientTrace(t.Context(), trace), r.Addr(), http.MethodGet, r.Login())
		answered <- code
	}()
	<-sent
	if err := r.SetFault(t.Context(), testbed.Fault{}); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != http.StatusOK {
		t.Errorf("the held request answers %d, want 200", got)
	}
}

func TestRegistryDelaysPushes(t *testing.T) {
	t.Parallel()
	r := startRegistry(t)
	const delay = 150 * time.Millisecond
	if err := r.SetFault(t.Context(), testbed.Fault{Delay: delay}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	status(t, r, http.MethodPost, r.Login())
	if took := time.Since(begin); took < delay {
		t.Errorf("POST took %s, want at least %s", took, delay)
	}
}

func startRegistry(t *testing.T) *testbed.Registry {
	t.Helper()
	r, err := testbed.NewRegistry(t.TempDir(), "127.0.0.1:0", testbed.Login{Username: "user", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func push(t *testing.T, r *testbed.Registry) (name.Reference, remote.Option) {
	t.Helper()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.Addr() + "/some/app:1")
	if err != nil {
		t.Fatal(err)
	}
	auth := remote.WithAuth(&authn.Basic{Username: r.Login().Username, Password: r.Login().Password})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if err := remote.Write(ref, image, auth, remote.WithTransport(transport), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return ref, auth
}

func status(t *testing.T, r *testbed.Registry, method string, login testbed.Login) int {
	t.Helper()
	code, err := do(t.Context(), r.Addr(), method, login)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func do(ctx context.Context, addr, method string, login testbed.Login) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+"/v2/", nil)
	if err != nil {
		return 0, err
	}
	if login != (testbed.Login{}) {
		req.SetBasicAuth(login.Username, login.Password)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
