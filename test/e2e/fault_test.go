//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// fault is how a front misbehaves.
type fault int

const (
	healthy fault = iota
	// refuses closes the port.
	refuses
	// hangs answers nothing until the client leaves.
	hangs
	// hangsWrites does so to everything but GET and HEAD.
	hangsWrites
	// breaks answers 500.
	breaks
	// lies answers with garbage.
	lies
)

// front stands before a server of the bed, for one test alone, on a port that
// stays its own.
type front struct {
	t       *testing.T
	address string
	serve   func(net.Listener) (stop func())

	mu    sync.Mutex
	fault fault
	stop  func()
}

func newFront(t *testing.T) *front {
	f := &front{t: t, address: "127.0.0.1:0"}
	t.Cleanup(f.shut)
	return f
}

// set makes the front misbehave from now on.
func (f *front) set(fault fault) {
	f.t.Helper()
	if fault == refuses {
		f.shut()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	if f.stop != nil {
		return
	}
	listener, err := net.Listen("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.address = listener.Addr().String()
	f.stop = f.serve(listener)
}

func (f *front) shut() {
	f.mu.Lock()
	stop := f.stop
	f.stop = nil
	f.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (f *front) now() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

// before makes a front of an HTTP server; its URL is http:// and the address.
func before(t *testing.T, server string) *front {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = target.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	f := newFront(t)
	f.serve = func(l net.Listener) func() {
		server := &http.Server{Handler: f.handler(proxy), ErrorLog: log.New(io.Discard, "", 0)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(l)
		}()
		return func() {
			_ = server.Close()
			<-done
		}
	}
	f.set(healthy)
	return f
}

func (f *front) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writes := r.Method != http.MethodGet && r.Method != http.MethodHead
		switch now := f.now(); {
		case now == hangs, now == hangsWrites && writes:
			// A server notices that its client leaves only when it has read the body.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case now == breaks:
			http.Error(w, "out of order", http.StatusInternalServerError)
		case now == lies:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, "<<<this is no JSON>>>")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// beforeSocket makes a front of a unix socket.
func beforeSocket(t *testing.T, path string) *front {
	t.Helper()
	f := newFront(t)
	f.serve = func(l net.Listener) func() {
		p := &pipes{open: map[net.Conn]bool{}}
		p.done.Go(func() { p.accept(l, func(conn net.Conn) { f.pipe(p, conn, path) }) })
		return func() {
			_ = l.Close()
			p.close()
		}
	}
	f.set(healthy)
	return f
}

// pipe treats one connection as the fault says that holds when it comes.
func (f *front) pipe(p *pipes, conn net.Conn, path string) {
	now := f.now()
	if now == lies {
		_, _ = io.WriteString(conn, "<<<this is no HTTP/2>>>\r\n\r\n")
	}
	if now != healthy {
		return
	}
	if socket, err := net.Dial("unix", path); err == nil {
		p.join(conn, socket)
	}
}

// pipes are the connections of a front.
type pipes struct {
	mu   sync.Mutex
	open map[net.Conn]bool
	done sync.WaitGroup
}

func (p *pipes) accept(l net.Listener, use func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.add(conn)
			use(conn)
		}
	}
}

func (p *pipes) add(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
}

// join copies both ways until one side ends.
func (p *pipes) join(a, b net.Conn) {
	p.add(b)
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		p.done.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
}

func (p *pipes) close() {
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}
