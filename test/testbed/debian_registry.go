package testbed

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"time"
)

// DebianRegistry is Debian's docker-registry, without a password: a second
// implementation of the protocol to check against.
type DebianRegistry struct {
	addr   string
	client *http.Client
	daemon daemon
}

const debianRegistryConfig = `version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: %q
  delete:
    enabled: true
http:
  addr: %s
`

func (b *Bed) newDebianRegistry() (*DebianRegistry, error) {
	port, err := b.slot.port()
	if err != nil {
		return nil, err
	}
	r := &DebianRegistry{addr: loopback(port), client: &http.Client{Transport: &http.Transport{}}}
	config := b.slot.path("docker-registry.yml")
	text := fmt.Sprintf(debianRegistryConfig, b.data("docker-registry"), r.addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	r.daemon = daemon{
		name: "docker-registry", argv: []string{b.Tools.DockerRegistry, "serve", config},
		env: b.env(), log: b.logFile("docker-registry"),
		term: syscall.SIGTERM, grace: 5 * time.Second, answers: r.answers,
	}
	return r, nil
}

// Start runs the registry and returns when it answers.
func (r *DebianRegistry) Start(ctx context.Context) error { return r.daemon.start(ctx) }

// Stop ends the registry. Its images stay until the bed is closed.
func (r *DebianRegistry) Stop() error {
	r.client.CloseIdleConnections()
	return r.daemon.stop()
}

// Addr is host:port, the first part of an image's name.
func (r *DebianRegistry) Addr() string { return r.addr }

func (r *DebianRegistry) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/v2/", nil)
	if err != nil {
		return err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("docker-registry answers %s", res.Status)
	}
	return nil
}
