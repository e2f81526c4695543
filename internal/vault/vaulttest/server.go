package vaulttest

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// RootToken may do anything.
const RootToken = "root"

// Role is an AppRole.
type Role struct {
	ID       string
	SecretID string
	// Policies are paths that its tokens may read; one that ends in * is a prefix.
	Policies []string
	// SecretUses and TokenUses limit the secret id and each token; 0 does not.
	SecretUses int
	TokenUses  int
}

// Server is the stand-in. Its fields may be set before the first request, its
// methods called at any time.
type Server struct {
	*httptest.Server

	mu       sync.Mutex
	mounts   map[string]int
	secrets  map[string]secret
	roles    map[string]*Role
	logins   map[string]int
	tokens   map[string]*token
	sealed   bool
	limited  bool
	requests []string
	next     int
}

type secret struct {
	data    map[string]any
	deleted bool
}

type token struct {
	role *Role
	used int
}

// New starts a server with KV version 2 mounted at kv/. Close it.
func New() *Server {
	s := newServer()
	s.Server = httptest.NewServer(s)
	return s
}

// NewTLS is New over TLS, with httptest's certificate.
func NewTLS() *Server {
	s := newServer()
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	return s
}

func newServer() *Server {
	return &Server{
		mounts: map[string]int{"kv": 2}, secrets: map[string]secret{}, roles: map[string]*Role{},
		logins: map[string]int{}, tokens: map[string]*token{},
	}
}

// Mount adds a KV engine of version 1 or 2.
func (s *Server) Mount(name string, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounts[name] = version
}

// Put stores a secret at mount/path, without the data/ of version 2.
func (s *Server) Put(path string, data map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[path] = secret{data: data}
}

// Delete deletes the newest version of a secret.
func (s *Server) Delete(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[path] = secret{deleted: true}
}

// Add adds a role.
func (s *Server) Add(role Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[role.ID] = &role
}

// Seal seals the server, or unseals it.
func (s *Server) Seal(sealed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = sealed
}

// Limit makes every read exceed the rate limit, or none.
func (s *Server) Limit(limited bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited = limited
}

// Requests lists what was asked, as "GET kv/data/p/s", in order.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Tokens says how many tokens of roles are alive.
func (s *Server) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens)
}

// ServeHTTP answers as Vault does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, body := s.answer(r)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

func (s *Server) answer(r *http.Request) (int, any) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	s.requests = append(s.requests, r.Method+" "+path)
	switch {
	case path == "sys/health":
		return s.health()
	case s.sealed:
		return http.StatusServiceUnavailable, refusal("Vault is sealed")
	case path == "auth/approle/login":
		return s.login(r)
	}
	if s.limited {
		return http.StatusTooManyRequests, refusal(fmt.Sprintf("request path %q: rate limit quota exceeded", path))
	}
	caller, status, body := s.caller(r.Header.Get("X-Vault-Token"))
	if status != 0 {
		return status, body
	}
	return s.authenticated(caller, r, path)
}

// caller finds the token and counts its use; root is a nil token.
func (s *Server) caller(name string) (*token, int, any) {
	if name == RootToken {
		return nil, 0, nil
	}
	t, known := s.tokens[name]
	if !known {
		return nil, http.StatusForbidden, refusal("permission denied")
	}
	t.used++
	if t.role.TokenUses > 0 && t.used >= t.role.TokenUses {
		delete(s.tokens, name)
	}
	return t, 0, nil
}

func (s *Server) authenticated(caller *token, r *http.Request, path string) (int, any) {
	name := r.Header.Get("X-Vault-Token")
	switch {
	case path == "auth/token/revoke-self":
		delete(s.tokens, name)
		return http.StatusNoContent, nil
	case path == "auth/token/renew-self":
		return http.StatusOK, envelope(nil, auth(name, caller.role))
	case path == "auth/token/lookup-self":
		return http.StatusOK, envelope(lookup(name, caller.role), nil)
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		return s.preflight(caller, strings.TrimPrefix(path, "sys/internal/ui/mounts/"))
	case caller != nil && !caller.role.allows(path):
		return http.StatusForbidden, refusal("1 error occurred:\n\t* permission denied\n\n")
	case strings.HasPrefix(path, "sys/"):
		return s.operate(r, path)
	case r.Method == http.MethodGet:
		return s.read(path)
	default:
		return s.write(r, path)
	}
}

func (r *Role) allows(path string) bool {
	for _, policy := range r.Policies {
		prefix, isPrefix := strings.CutSuffix(policy, "*")
		if path == policy || isPrefix && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
