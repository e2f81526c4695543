//go:build e2e

package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/test/testbed"
)

// provider is a git server of one test.
type provider struct {
	t *testing.T
	*gittest.Server
	url string

	mu       sync.Mutex
	requests []string
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	server, err := gittest.NewServer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, Server: server}
	front := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(front.Close)
	p.url = front.URL
	return p
}

// serve notes what was asked for: a token must not stand there.
func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r.URL.String())
	p.mu.Unlock()
	p.ServeHTTP(w, r)
}

func (p *provider) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// private makes a private repository with one commit.
func (p *provider) private(repository, token string, files map[string]string) {
	p.t.Helper()
	if err := p.Create(p.t.Context(), repository); err != nil {
		p.t.Fatal(err)
	}
	p.Allow(repository, "x-access-token", token)
	p.commit(repository, files)
}

// commit puts a tree on the branch main.
func (p *provider) commit(repository string, files map[string]string) string {
	p.t.Helper()
	id, err := p.Commit(p.t.Context(), repository, gittest.Commit{Message: "A commit", Files: files})
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// sample is a revision of the sample app.
func sample(t *testing.T, s testbed.Sample) map[string]string {
	t.Helper()
	files, err := testbed.SampleRepository(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// running is the sample with a RUN step of this command.
func running(t *testing.T, version, command string) map[string]string {
	t.Helper()
	return sample(t, testbed.Sample{Version: version, Base: shared.base, Run: command})
}

const gitToken = "git-token-of-the-test"

// repository is a deploy-repository from a provider's repository.
func repository(t *testing.T, name, repository string) task {
	t.Helper()
	k := task{kind: "deploy-repository", params: deploy(t, name)}.again()
	return k.with(params{
		"repository": repository, "branch": "main", "gitPass": gitToken, "provider": "github",
		"build": params{"builder": "csdocker"},
	})
}

// newSource makes a provider with one private repository, acme/app.
func newSource(t *testing.T, files map[string]string) *provider {
	t.Helper()
	p := newProvider(t)
	p.private("acme/app", gitToken, files)
	return p
}

// github points a worker's provider github at p.
func github(p *provider) string { return "DISPATCHD_GITHUB_URL=" + p.url }

// linked makes a repository whose links leave its tree.
func (p *provider) linked(repository string) {
	p.t.Helper()
	p.private(repository, gitToken, map[string]string{"README.md": "links\n"})
	_, err := p.Commit(p.t.Context(), repository, gittest.Commit{
		Message: "Links", Files: map[string]string{"README.md": "links\n"},
		Links: map[string]string{"Dockerfile.link": "/etc/passwd", "out": "../../.."},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}
