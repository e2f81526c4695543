package testbed

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

// GitUser is the user with whose name dispatchd sends a token of GitHub or GitLab.
const GitUser = "x-access-token"

// Git is a git server over smart HTTP. Repositories takes what Publish does
// not do: other users, tags, hostile trees.
type Git struct {
	Repositories *gittest.Server

	login Login
	web   *webServer

	mu    sync.Mutex
	known map[string]bool
}

func (b *Bed) newGit() (*Git, error) {
	if err := os.MkdirAll(b.data("git"), 0o700); err != nil {
		return nil, err
	}
	repositories, err := gittest.NewServer(b.data("git"))
	if err != nil {
		return nil, err
	}
	port, err := b.slot.port()
	if err != nil {
		return nil, err
	}
	return &Git{
		Repositories: repositories,
		login:        Login{Username: GitUser, Password: b.Login.Password},
		web:          &webServer{handler: repositories, addr: loopback(port)},
		known:        map[string]bool{},
	}, nil
}

// Start listens and serves; it may be called again after Stop.
func (g *Git) Start(ctx context.Context) error {
	if err := g.web.start(ctx); err != nil {
		return fmt.Errorf("start the git server: %w", err)
	}
	return nil
}

// Stop closes the port and every connection. The repositories stay.
func (g *Git) Stop() error { return g.web.stop() }

// Addr is the base URL; a repository is Addr + "/owner/name.git".
func (g *Git) Addr() string { return "http://" + g.web.address() }

// Login is what a repository made by Publish wants.
func (g *Git) Login() Login { return g.login }

// Publish commits files, such as SampleRepository's, to the default branch of
// a private repository, which it makes where there is none, and returns the
// commit's name. The files are the whole tree.
func (g *Git) Publish(ctx context.Context, repository, message string, files map[string]string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known[repository] {
		g.Repositories.Allow(repository, g.login.Username, g.login.Password)
		if err := g.Repositories.Create(ctx, repository); err != nil {
			return "", fmt.Errorf("make repository %s: %w", repository, err)
		}
		g.known[repository] = true
	}
	commit, err := g.Repositories.Commit(ctx, repository, gittest.Commit{Message: message, Files: files})
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", repository, err)
	}
	return commit, nil
}
