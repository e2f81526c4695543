package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// NomadOptions say how the agent differs from the default.
type NomadOptions struct {
	// ACL turns access control on; Token returns the management token then.
	ACL bool
	// CPU (MHz) and MemoryMB are what the client offers; zero means 8000 and 8192.
	CPU      int
	MemoryMB int
	// NodeClass is the client's class; empty is none.
	NodeClass string
	// Extra is more of the agent's configuration, in HCL.
	Extra string
}

// Nomad is an agent that is server and client at once, with the Docker driver
// on the bed's Docker and raw_exec. It keeps no state over a restart.
type Nomad struct {
	bed    *Bed
	daemon daemon
	client *http.Client
	port   int
	acl    bool
	token  string
}

func (b *Bed) newNomad(o NomadOptions) (*Nomad, error) {
	n := &Nomad{bed: b, client: &http.Client{Transport: &http.Transport{}}, acl: o.ACL}
	config, err := n.writeConfig(o)
	if err != nil {
		return nil, fmt.Errorf("configure nomad: %w", err)
	}
	n.daemon = daemon{
		name: "nomad", argv: []string{b.Tools.Nomad, "agent", "-dev", "-config", config},
		env: b.env(), log: b.logFile("nomad"),
		// It stops every task first, and a task may take its kill_timeout.
		term: syscall.SIGINT, grace: 40 * time.Second, answers: n.answers,
	}
	return n, nil
}

// Start runs the agent and returns when it has a leader and a node that is
// ready, with a healthy Docker driver where the bed has Docker.
func (n *Nomad) Start(ctx context.Context) error {
	n.token = ""
	if err := os.MkdirAll(n.bed.data("tmp"), 0o700); err != nil {
		return err
	}
	return n.daemon.start(ctx)
}

// Stop ends the agent, which ends every task, and removes its directories.
func (n *Nomad) Stop() error {
	err := n.daemon.stop()
	n.client.CloseIdleConnections()
	return errors.Join(err, n.removeDirs())
}

// Kill ends the agent as a crash would. Its containers, log collectors and
// mounts stay until the bed is closed.
func (n *Nomad) Kill() { n.daemon.kill() }

// Addr is the value for NOMAD_ADDR.
func (n *Nomad) Addr() string { return "http://" + loopback(n.port) }

// Token is the management token where access control is on, else "".
func (n *Nomad) Token() string { return n.token }

// removeDirs removes what each -dev run leaves in TMPDIR. Mounts that a killed
// agent left there are detached when the bed is closed.
func (n *Nomad) removeDirs() error {
	dirs, err := filepath.Glob(filepath.Join(n.bed.data("tmp"), "NomadClient*"))
	if err != nil {
		return err
	}
	err = unmountUnder(dirs...)
	for _, dir := range dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (n *Nomad) answers(ctx context.Context) error {
	var leader string
	if err := n.Call(ctx, http.MethodGet, "/v1/status/leader", nil, &leader); err != nil {
		return err
	}
	if leader == "" {
		return errors.New("no leader yet")
	}
	if n.acl && n.token == "" {
		if err := n.bootstrap(ctx); err != nil {
			return err
		}
	}
	return n.nodeReady(ctx)
}

func (n *Nomad) bootstrap(ctx context.Context) error {
	var answer struct{ SecretID string }
	if err := n.Call(ctx, http.MethodPost, "/v1/acl/bootstrap", nil, &answer); err != nil {
		return err
	}
	n.token = answer.SecretID
	return nil
}

func (n *Nomad) nodeReady(ctx context.Context) error {
	var nodes []struct {
		Status  string
		Drivers map[string]struct {
			Healthy           bool
			HealthDescription string
		}
	}
	if err := n.Call(ctx, http.MethodGet, "/v1/nodes", nil, &nodes); err != nil {
		return err
	}
	if len(nodes) == 0 || nodes[0].Status != "ready" {
		return errors.New("the node is not ready yet")
	}
	if driver := nodes[0].Drivers["docker"]; n.bed.Docker != nil && !driver.Healthy {
		return fmt.Errorf("the docker driver is not healthy: %s", driver.HealthDescription)
	}
	return nil
}

// Call asks Nomad's API with the bed's token; body and into may be nil.
func (n *Nomad) Call(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, n.Addr()+path, body)
	if err != nil {
		return err
	}
	if n.token != "" {
		req.Header.Set("X-Nomad-Token", n.token)
	}
	res, err := n.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask nomad: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("ask nomad: %s %s: %s: %s", method, path, res.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}
