package testbed

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// webServer serves a handler on one address and can be stopped and started
// again there. Port 0 becomes the port of the first start.
type webServer struct {
	handler http.Handler

	mu       sync.Mutex
	addr     string
	server   *http.Server
	served   chan struct{}
	requests sync.WaitGroup
}

// start listens; on a server that listens already it does nothing.
func (s *webServer) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	s.addr = listener.Addr().String()
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan struct{})
	s.server, s.served = server, served
	go func() {
		defer close(served)
		// It returns when stop closes the server.
		_ = server.Serve(listener)
	}()
	return nil
}

func (s *webServer) serve(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	defer s.requests.Done()
	s.handler.ServeHTTP(w, r)
}

// stop closes the port and every connection and waits for the requests, so
// that none of them outlives the directory that it writes to.
func (s *webServer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := s.server.Close()
	<-s.served
	s.server = nil
	s.requests.Wait()
	return err
}

func (s *webServer) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}
