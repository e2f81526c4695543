package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// errNotAsked stands until the first probe has answered.
var errNotAsked = errors.New("not asked yet")

// shutdownTimeout is how long open requests get at the end.
const shutdownTimeout = 2 * time.Second

// Server is the HTTP port. It has no ids, secrets or names of apps in any
// answer; why a dependency is away may name its address.
type Server struct {
	listener net.Listener
	server   *http.Server
	served   sync.WaitGroup
}

// Listen opens the port and serves until Close.
func Listen(ctx context.Context, addr string, metrics prometheus.Gatherer, probes *Probes, watch *QueueWatch) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open the HTTP port %s (DISPATCHD_HTTP_ADDR): %w", addr, err)
	}
	s := &Server{listener: listener, server: &http.Server{
		Handler:           handler(metrics, probes, watch),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
	}}
	s.served.Go(func() { _ = s.server.Serve(listener) })
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server and waits for it.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	s.served.Wait()
	return err
}

func handler(metrics prometheus.Gatherer, probes *Probes, watch *QueueWatch) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { expose(w, metrics) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { ready(w, probes) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { status(w, probes, watch) })
	return mux
}

// ready names each dependency that is away.
func ready(w http.ResponseWriter, probes *Probes) {
	away := probes.Away()
	if len(away) == 0 {
		answer(w, http.StatusOK, "ready\n")
		return
	}
	answer(w, http.StatusServiceUnavailable, "not ready\n"+strings.Join(away, "\n")+"\n")
}

// status is a page for a person with curl.
func status(w http.ResponseWriter, probes *Probes, watch *QueueWatch) {
	var page strings.Builder
	page.WriteString("dispatchd\n\n")
	stats, err := watch.Last()
	if err != nil {
		fmt.Fprintf(&page, "queue: unknown: %v\n", err)
	} else {
		fmt.Fprintf(&page, "queue: %d runnable, %d running, %d waiting for a retry, %d blocked, oldest waits %s, %d dead letters\n",
			stats.Runnable, stats.Running, stats.Retry, stats.Blocked, stats.OldestPending.Round(time.Second), stats.DeadLetters)
	}
	away := probes.Away()
	if len(away) == 0 {
		page.WriteString("dependencies: all there\n")
	}
	for _, line := range away {
		fmt.Fprintf(&page, "away: %s\n", line)
	}
	page.WriteString("\n/metrics /healthz /readyz\n")
	answer(w, http.StatusOK, page.String())
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}
