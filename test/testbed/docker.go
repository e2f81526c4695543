package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"
)

// Docker is a dockerd of the bed's own: its data, socket, bridge and cgroup are
// shared with nobody. It publishes ports through docker-proxy and leaves the
// host's iptables and sysctls alone, so containers reach the host and each
// other, and nothing beyond.
type Docker struct {
	bed    *Bed
	daemon daemon
	client *http.Client
}

func (b *Bed) newDocker() (*Docker, error) {
	socket, config := b.slot.path("docker.sock"), b.slot.path("docker.json")
	// An empty file keeps dockerd from reading the host's /etc/docker.
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return nil, err
	}
	argv := []string{
		b.Tools.Dockerd, "--config-file", config,
		"--data-root", b.data("docker"), "--exec-root", b.slot.path("docker"),
		"--pidfile", b.slot.path("docker.pid"), "--host", "unix://" + socket,
		"--bridge", b.slot.bridge(), "--iptables=false", "--ip6tables=false",
		"--ip-forward=false", "--ip-masq=false",
		"--cgroup-parent", b.slot.cgroup(), "--exec-opt", "native.cgroupdriver=cgroupfs",
		// Where the host has a containerd of its own, dockerd uses that one.
		"--containerd-namespace", b.slot.bridge(), "--containerd-plugins-namespace", b.slot.bridge() + "-plugins",
	}
	d := &Docker{bed: b, client: unixClient(socket)}
	d.daemon = daemon{
		name: "dockerd", argv: argv, env: b.env(), log: b.logFile("dockerd"),
		term: syscall.SIGTERM, grace: 15 * time.Second, answers: d.ping,
	}
	return d, nil
}

// Start runs dockerd and returns when it answers.
func (d *Docker) Start(ctx context.Context) error {
	if _, err := net.InterfaceByName(d.bed.slot.bridge()); err != nil {
		if err := d.bed.slot.addBridge(ctx, d.bed.Tools.BusyBox); err != nil {
			return err
		}
	}
	return d.daemon.start(ctx)
}

// Stop removes every container and ends dockerd.
func (d *Docker) Stop() error {
	if !d.daemon.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := errors.Join(d.removeContainers(ctx), d.daemon.stop())
	d.client.CloseIdleConnections()
	return err
}

// Kill ends dockerd as a crash would; its containers go on.
func (d *Docker) Kill() { d.daemon.kill() }

// Addr is the value for DOCKER_HOST.
func (d *Docker) Addr() string { return "unix://" + d.bed.slot.path("docker.sock") }

// Container is one container, running or not.
type Container struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	State  string
	Labels map[string]string
}

// Containers lists the bed's containers, running or not.
func (d *Docker) Containers(ctx context.Context) ([]Container, error) {
	var list []Container
	err := d.call(ctx, http.MethodGet, "/containers/json?all=1", &list)
	return list, err
}

func (d *Docker) removeContainers(ctx context.Context) error {
	list, err := d.Containers(ctx)
	for _, c := range list {
		err = errors.Join(err, d.call(ctx, http.MethodDelete, "/containers/"+url.PathEscape(c.ID)+"?force=1&v=1", nil))
	}
	return err
}

func (d *Docker) ping(ctx context.Context) error {
	return d.call(ctx, http.MethodGet, "/_ping", nil)
}

// call asks the Engine's API; a container that is gone already is no error.
func (d *Docker) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	res, err := d.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask dockerd: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 && !(method == http.MethodDelete && res.StatusCode == http.StatusNotFound) {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("ask dockerd: %s %s: %s: %s", method, path, res.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// unixClient speaks HTTP over a unix socket.
func unixClient(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}
}
