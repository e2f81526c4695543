package embednats

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	loopback     = "127.0.0.1"
	readyTimeout = 10 * time.Second
	readyPoll    = 50 * time.Millisecond
)

// Options describe a server. Only StoreDir is required.
type Options struct {
	// StoreDir is the directory that JetStream keeps its files in.
	StoreDir string
	// Host is the address to listen on; empty means 127.0.0.1.
	Host string
	// Port is the port to listen on; 0 takes a free one, which stays the server's
	// over a restart.
	Port int
	// Users may connect; with none, everybody may.
	Users []User
	// TLS makes the server speak TLS; nil means it does not.
	TLS *TLS
	// SyncAlways has every message on disk before it is acknowledged.
	SyncAlways bool
	// MaxPayload limits a message's bytes; 0 means the server's 1 MiB.
	MaxPayload int32
	// ConfigFile is a configuration file of the server's, of which everything
	// holds but the address and the store; then Users and TLS must be empty.
	ConfigFile string
}

// Server is a running NATS server, or one that was stopped. It is safe for
// concurrent use.
type Server struct {
	opts Options

	mu   sync.Mutex
	ns   *server.Server
	port int
}

// Start starts a server and returns when it takes connections.
func Start(o Options) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("start NATS server: no StoreDir given")
	}
	if o.Host == "" {
		o.Host = loopback
	}
	s := &Server{opts: o, port: o.Port}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// ClientURL returns what clients connect to. It stays the same over a restart.
func (s *Server) ClientURL() string {
	scheme := "nats"
	if s.opts.TLS != nil {
		scheme = "tls"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return scheme + "://" + net.JoinHostPort(s.opts.Host, strconv.Itoa(s.port))
}

// Shutdown stops the server and returns when it is gone. On a stopped server
// it does nothing.
func (s *Server) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// Restart stops the server where it runs and starts it on the same port with
// the same store.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	return s.start()
}

func (s *Server) start() error {
	opts, err := s.serverOptions()
	if err != nil {
		return fmt.Errorf("start NATS server: %w", err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start NATS server: %w", err)
	}
	reason := make(fatal, 1)
	ns.SetLogger(reason, false, false)
	ns.Start()
	s.ns = ns
	if err := ready(ns, reason); err != nil {
		s.stop()
		return fmt.Errorf("start NATS server on %s with its store in %s: %w", s.opts.Host, s.opts.StoreDir, err)
	}
	if addr, ok := ns.Addr().(*net.TCPAddr); ok {
		s.port = addr.Port
	}
	return nil
}

// ready waits until the server takes connections or says why it cannot.
func ready(ns *server.Server, reason fatal) error {
	for deadline := time.Now().Add(readyTimeout); time.Now().Before(deadline); {
		if ns.ReadyForConnections(readyPoll) && ns.JetStreamEnabled() {
			return nil
		}
		select {
		case why := <-reason:
			return errors.New(why)
		default:
		}
	}
	return fmt.Errorf("not ready after %s", readyTimeout)
}

func (s *Server) stop() {
	if s.ns == nil {
		return
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	s.ns = nil
}

func (s *Server) serverOptions() (*server.Options, error) {
	port := s.port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	o := &server.Options{}
	if s.opts.ConfigFile != "" {
		if err := o.ProcessConfigFile(s.opts.ConfigFile); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.opts.ConfigFile, err)
		}
	}
	o.Host, o.Port, o.NoSigs = s.opts.Host, port, true
	o.JetStream, o.StoreDir, o.SyncAlways = true, s.opts.StoreDir, s.opts.SyncAlways
	o.MaxPayload = s.opts.MaxPayload
	for _, u := range s.opts.Users {
		u.addTo(o)
	}
	if s.opts.TLS == nil {
		return o, nil
	}
	config, err := s.opts.TLS.config()
	o.TLSConfig = config
	return o, err
}
