package testbed

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Registry is an image registry in this process, behind a user and a password.
// Its images lie on disk and outlive a Stop; its faults are on demand.
type Registry struct {
	login Login
	store http.Handler
	web   *webServer

	mu     sync.Mutex
	fault  Fault
	change chan struct{} // closed when the fault changes or the registry stops
}

// Fault is how a registry misbehaves. The zero value is a healthy one.
type Fault struct {
	// Refuse closes the port: nobody can connect.
	Refuse bool
	// Status answers every request with this code, such as 401, 429 or 500.
	Status int
	// Hang answers nothing until the fault ends or the client gives up.
	Hang bool
	// Delay waits before each request that writes.
	Delay time.Duration
	// WritesOnly limits Status and Hang to requests that write, which leaves
	// pulls and lookups alone.
	WritesOnly bool
}

// NewRegistry returns a registry that keeps its images in dir and will listen
// on addr, such as 127.0.0.1:5000; port 0 takes a free one at the first Start.
func NewRegistry(dir, addr string, login Login) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the registry's directory: %w", err)
	}
	store := registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)),
		registry.WithReferrersSupport(true),
		registry.Logger(log.New(io.Discard, "", 0)),
	)
	r := &Registry{login: login, store: store, change: make(chan struct{})}
	r.web = &webServer{handler: http.HandlerFunc(r.serve), addr: addr}
	return r, nil
}

func (b *Bed) newRegistry() (*Registry, error) {
	port, err := b.slot.port()
	if err != nil {
		return nil, err
	}
	return NewRegistry(b.data("registry"), loopback(port), b.Login)
}

// Start listens and serves; it may be called again after Stop.
func (r *Registry) Start(ctx context.Context) error {
	if err := r.web.start(ctx); err != nil {
		return fmt.Errorf("start the registry: %w", err)
	}
	return nil
}

// Stop closes the port and every connection. The images stay.
func (r *Registry) Stop() error {
	r.release(nil)
	return r.web.stop()
}

// Addr is host:port, the first part of an image's name.
func (r *Registry) Addr() string { return r.web.address() }

// Login is the user and the password that the registry wants.
func (r *Registry) Login() Login { return r.login }

// SetFault makes the registry misbehave from now on; Fault{} heals it.
func (r *Registry) SetFault(ctx context.Context, f Fault) error {
	r.release(&f)
	if f.Refuse {
		return r.web.stop()
	}
	return r.Start(ctx)
}

// release lets the requests go that a fault holds, after it has set the new one.
func (r *Registry) release(next *Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next != nil {
		r.fault = *next
	}
	close(r.change)
	r.change = make(chan struct{})
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	if !r.fails(w, req) && r.authorized(w, req) {
		r.store.ServeHTTP(w, req)
	}
}

// fails plays the fault, and reports whether the request ended with it.
func (r *Registry) fails(w http.ResponseWriter, req *http.Request) bool {
	r.mu.Lock()
	fault, change := r.fault, r.change
	r.mu.Unlock()
	writes := req.Method != http.MethodGet && req.Method != http.MethodHead
	if writes && fault.Delay > 0 && !pause(req.Context(), fault.Delay, change) {
		return true
	}
	if fault.WritesOnly && !writes {
		return false
	}
	if fault.Hang {
		select {
		case <-req.Context().Done():
			return true
		case <-change:
			return false
		}
	}
	if fault.Status != 0 {
		answerError(w, fault.Status)
		return true
	}
	return false
}

// pause waits and reports whether the client is still there.
func pause(ctx context.Context, d time.Duration, change <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-change:
	}
	return true
}

func (r *Registry) authorized(w http.ResponseWriter, req *http.Request) bool {
	user, password, _ := req.BasicAuth()
	got, want := user+"\x00"+password, r.login.Username+"\x00"+r.login.Password
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1 {
		return true
	}
	answerError(w, http.StatusUnauthorized)
	return false
}

// answerError answers as registries do: a challenge with a 401, a body with
// the error's code.
func answerError(w http.ResponseWriter, status int) {
	codes := map[int]string{http.StatusUnauthorized: "UNAUTHORIZED", http.StatusForbidden: "DENIED", http.StatusTooManyRequests: "TOOMANYREQUESTS"}
	code := codes[status]
	if code == "" {
		code = "UNKNOWN"
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="test bed"`)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, http.StatusText(status))
}
