package gittest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Server is an http.Handler that serves the repositories below a directory as
// /<owner>/<name>.git. A repository is public until Allow gives it a token.
type Server struct {
	root string
	git  string

	mu     sync.Mutex
	logins map[string][]login
	// objects are LFS's, by id; store is where they are said to be.
	objects map[string]string
	store   lfsAction
}

type login struct{ user, token string }

// NewServer returns a server of the repositories below root.
func NewServer(root string) (*Server, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("serve repositories: %w", err)
	}
	return &Server{root: root, git: git, logins: map[string][]login{}, objects: map[string]string{}}, nil
}

// Allow makes a repository private and lets a user in with a token. It may be
// called again for others.
func (s *Server) Allow(repository, user, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[repository] = append(s.logins[repository], login{user, token})
}

// ServeHTTP answers git. Without the right token a private repository answers
// 401; one that does not exist answers 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository, rest, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	if _, err := os.Stat(s.dir(repository)); !found || err != nil {
		http.NotFound(w, r)
		return
	}
	if !s.admits(repository, r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "Invalid username or token.", http.StatusUnauthorized)
		return
	}
	if path, isLFS := strings.CutPrefix(rest, "info/lfs/"); isLFS {
		s.serveLFS(w, r, path)
		return
	}
	backend := cgi.Handler{
		Path:   s.git,
		Args:   []string{"http-backend"},
		Dir:    s.root,
		Env:    append(s.environ(), "GIT_PROJECT_ROOT="+s.root, "GIT_HTTP_EXPORT_ALL=1"),
		Logger: log.New(io.Discard, "", 0),
		Stderr: io.Discard,
	}
	backend.ServeHTTP(w, r)
}

// admits reports whether the request may see the repository.
func (s *Server) admits(repository string, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	logins := s.logins[repository]
	user, token, _ := r.BasicAuth()
	for _, l := range logins {
		if l.user == user && l.token == token {
			return true
		}
	}
	return len(logins) == 0
}

func (s *Server) dir(repository string) string {
	return filepath.Join(s.root, filepath.FromSlash(filepath.Clean("/"+repository+".git")))
}

// environ keeps the machine's and the user's configuration of git away.
func (s *Server) environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.root, "LANG=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		// The owner of the files is not looked at.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
}

// run runs git with the input in the repository's directory and returns its output.
func (s *Server) run(ctx context.Context, repository, input string, args ...string) (string, error) {
	args = append([]string{"--git-dir=" + s.dir(repository)}, args...)
	cmd := exec.CommandContext(ctx, s.git, args...)
	cmd.Env, cmd.Dir = s.environ(), s.root
	cmd.Stdin = strings.NewReader(input)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s in %s: %w: %s", strings.Join(args[1:], " "), repository, err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// StallAfter serves with h until so many bytes of a response's body have gone
// out, and then keeps the connection open in silence until the client leaves.
func StallAfter(h http.Handler, bytes int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&stalling{ResponseWriter: w, left: bytes, gone: r.Context().Done()}, r)
	})
}

type stalling struct {
	http.ResponseWriter
	left int64
	gone <-chan struct{}
}

// Write passes on what is left of the allowance and then waits for the end.
func (s *stalling) Write(p []byte) (int, error) {
	if int64(len(p)) <= s.left {
		s.left -= int64(len(p))
		return s.ResponseWriter.Write(p)
	}
	n, _ := s.ResponseWriter.Write(p[:s.left])
	s.left = 0
	if f, ok := s.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	<-s.gone
	return n, io.ErrClosedPipe
}
