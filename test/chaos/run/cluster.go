package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// nodes is the size of the cluster.
const nodes = 3

// cluster is three NATS servers, each a process.
type cluster struct {
	dir    string
	binary string
	ports  [nodes]int
	peers  [nodes]int
	procs  [nodes]*process
	// small is where the third node's store is mounted; empty where that is not
	// possible.
	small string
}

func newCluster(dir, binary string) (*cluster, error) {
	c := &cluster{dir: dir, binary: binary}
	for _, into := range []*[nodes]int{&c.ports, &c.peers} {
		for i := range into {
			port, err := freePort()
			if err != nil {
				return nil, err
			}
			into[i] = port
		}
	}
	c.mountSmall()
	for i := range nodes {
		if err := os.WriteFile(c.file(i), []byte(c.config(i)), 0o600); err != nil {
			return nil, err
		}
		if err := c.start(i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// smallDisk is what the third node's store has, in MiB.
const smallDisk = 192

// mountSmall gives the third node a disk that can be filled. It takes root.
func (c *cluster) mountSmall() {
	dir := filepath.Join(c.dir, "small")
	if os.MkdirAll(dir, 0o755) != nil {
		return
	}
	if syscall.Mount("chaos", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", smallDisk)) == nil {
		c.small = dir
	}
}

func (c *cluster) store(i int) string {
	if i == nodes-1 && c.small != "" {
		return c.small
	}
	return filepath.Join(c.dir, name(i))
}

func (c *cluster) file(i int) string { return filepath.Join(c.dir, name(i)+".conf") }

func name(i int) string { return fmt.Sprintf("n%d", i) }

func (c *cluster) config(i int) string {
	var routes []string
	for _, port := range c.peers {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	return fmt.Sprintf(`
server_name: %s
listen: 127.0.0.1:%d
log_file: %q
logtime: true
jetstream { store_dir: %q, max_mem: 64M, max_file: 1G }
cluster { name: chaos, listen: 127.0.0.1:%d, no_advertise: true, routes: [%s] }
`, name(i), c.ports[i], filepath.Join(c.dir, name(i)+".log"), c.store(i), c.peers[i], strings.Join(routes, ", "))
}

func (c *cluster) start(i int) error {
	p, err := start(exec.Command(c.binary, c.file(i)), filepath.Join(c.dir, name(i)+".out"))
	c.procs[i] = p
	return err
}

// urls are where clients connect to.
func (c *cluster) urls() []string {
	var urls []string
	for i := range nodes {
		urls = append(urls, "nats://"+c.address(i))
	}
	return urls
}

func (c *cluster) address(i int) string { return fmt.Sprintf("127.0.0.1:%d", c.ports[i]) }

func (c *cluster) close() {
	for _, p := range c.procs {
		p.kill()
	}
	if c.small != "" {
		_ = syscall.Unmount(c.small, 0)
	}
}

// filler is what fills the small disk.
func (c *cluster) filler() string { return filepath.Join(c.small, "filler") }

// fill leaves nothing of the small disk.
func (c *cluster) fill() error {
	f, err := os.Create(c.filler())
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(block)
	}
	return errors.Join(f.Close(), unlessFull(err))
}

func unlessFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// process is a program that was started here.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start starts a program; what it says goes to a file.
func start(cmd *exec.Cmd, output string) (*process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	// Whatever ends the driver ends what it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
		_ = out.Close()
	}()
	return p, nil
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }
