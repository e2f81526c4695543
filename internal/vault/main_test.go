package vault_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
	"github.com/dispatchd/dispatchd/internal/vault/vaulttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	roleID   = "the-role"
	secretID = "the-secret-id-of-the-role"
)

// listener keeps the build log.
type listener struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *listener) Stage(tasks.Stage) {}
func (l *listener) Stdout() io.Writer { return l }
func (l *listener) Stderr() io.Writer { return l }

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// standIn is a server with one role that may read what belongs to project p.
func standIn(t *testing.T, change func(*vaulttest.Role)) *vaulttest.Server {
	t.Helper()
	server := vaulttest.New()
	t.Cleanup(server.Close)
	server.Mount("old", 1)
	role := vaulttest.Role{ID: roleID, SecretID: secretID, Policies: []string{"kv/data/p/*", "old/p/*", "p/*"}}
	if change != nil {
		change(&role)
	}
	server.Add(role)
	return server
}

func client(t *testing.T, opts vault.Options) *vault.Client {
	t.Helper()
	opts.RetryWait = time.Millisecond
	c, err := vault.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// read asks for paths by the role, at the stand-in.
func read(t *testing.T, server *vaulttest.Server, paths ...tasks.SecretPath) (map[string]string, string, error) {
	t.Helper()
	return query(t, client(t, vault.Options{}), tasks.SecretQuery{
		Address: server.URL, RoleID: roleID, SecretID: secretID, Project: "p", Paths: paths,
	})
}

func query(t *testing.T, c *vault.Client, q tasks.SecretQuery) (map[string]string, string, error) {
	t.Helper()
	log := &listener{}
	secrets, err := c.Read(t.Context(), q, log)
	plain := map[string]string{}
	for name, value := range secrets {
		plain[name] = value.Reveal()
	}
	return plain, log.text.String(), err
}

func failed(t *testing.T, err error, reason tasks.Reason, holds ...string) {
	t.Helper()
	failure := tasks.AsFailure(err)
	if failure == nil || failure.Reason != reason {
		t.Fatalf("error = %v, want reason %s", err, reason)
	}
	for _, text := range holds {
		if !strings.Contains(failure.Message, text) {
			t.Errorf("message %q does not say %q", failure.Message, text)
		}
	}
	if strings.Contains(err.Error(), secretID) || strings.Contains(err.Error(), "hvs.") {
		t.Errorf("the error shows a secret: %v", err)
	}
}
