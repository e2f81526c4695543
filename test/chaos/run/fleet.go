package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dispatchd/dispatchd/test/chaos/proxy"
)

// member is one of the three workers' places: the process in it changes.
type member struct {
	number int
	fleet  *fleet

	mu sync.Mutex
	// lives counts the processes: each has a name of its own, so that a reader of
	// the streams can tell them apart.
	lives   int
	proc    *process
	proxies []*proxy.Proxy
	trap    *trap
}

// trap stops a worker at a message of its own.
type trap struct {
	point  string
	passed bool
	sprung chan struct{}
	stop   func()
}

// fleet is the workers.
type fleet struct {
	dir    string
	binary string
	// previous is the program of the last worker, where that is of an earlier
	// version.
	previous string
	cluster  *cluster
	env      []string
	log      *log.Logger
	members  []*member
}

// workers is the size of the fleet.
const workers = 3

// raise starts the workers.
func (f *fleet) raise() error {
	for i := range workers {
		m := &member{number: i, fleet: f}
		for n := range nodes {
			p, err := proxy.Start(f.cluster.address(n), m.hook)
			if err != nil {
				return err
			}
			m.proxies = append(m.proxies, p)
		}
		f.members = append(f.members, m)
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// skews are how far the workers' wall clocks are off, where the worker was
// built for that.
var skews = []string{"0s", "1h", "-1h"}

func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lives++
	var urls []string
	for _, p := range m.proxies {
		urls = append(urls, p.URL())
	}
	env := append([]string{"DISPATCHD_WORKER_ID=" + m.name(), "CHAOS_CLOCK_SHIFT=" + skews[m.number%len(skews)]}, m.fleet.env...)
	var err error
	m.proc, err = m.fleet.run(m.program(), urls, m.name(), env)
	return err
}

func (m *member) program() string {
	if m.number == workers-1 && m.fleet.previous != "" {
		return m.fleet.previous
	}
	return m.fleet.binary
}

// supervise starts a worker again that has ended by itself, as an operator's
// scheduler does: one that cannot reach NATS at its start gives up.
func (f *fleet) supervise(ctx context.Context, every time.Duration, busy func(worker int) *sync.Mutex) {
	for ctx.Err() == nil {
		pause(ctx, every)
		for i, m := range f.members {
			if !busy(i).TryLock() {
				continue // a fault holds it
			}
			proc, name := m.now()
			select {
			case <-proc.done:
				f.log.Printf("worker %s has ended by itself and is started again", name)
				if err := m.start(); err != nil {
					f.log.Print(err)
				}
			default:
			}
			busy(i).Unlock()
		}
	}
}

// run starts one process of a worker's program.
func (f *fleet) run(program string, urls []string, name string, env []string, args ...string) (*process, error) {
	work := filepath.Join(f.dir, "work", name)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append([]string{
		"NATS_SERVERS=" + strings.Join(urls, ","), "DISPATCHD_HTTP_ADDR=127.0.0.1:0", "DISPATCHD_STREAM_REPLICAS=3",
		"DISPATCHD_WORK_DIR=" + work, "DISPATCHD_LOG_LEVEL=debug", "PATH=" + os.Getenv("PATH"),
	}, env...)
	return start(cmd, filepath.Join(f.dir, "worker-"+name+".log"))
}

// name is the present process's.
func (m *member) name() string { return fmt.Sprintf("w%d-%d", m.number, m.lives) }

func (m *member) now() (*process, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc, m.name()
}

// cut closes the worker's connections; it may come back at once.
func (m *member) cut() {
	for _, p := range m.proxies {
		p.Cut()
	}
}

// hook springs the trap at its message.
func (m *member) hook(p proxy.Point, passed bool) {
	m.mu.Lock()
	t := m.trap
	hit := t != nil && t.point == p.Name && t.passed == passed
	if hit {
		m.trap = nil
	}
	m.mu.Unlock()
	if hit {
		t.stop()
		close(t.sprung)
	}
}

// trapAt sets a trap and returns whether it has sprung within the time.
func (m *member) trapAt(point string, passed bool, stop func(), within time.Duration) bool {
	t := &trap{point: point, passed: passed, stop: stop, sprung: make(chan struct{})}
	m.mu.Lock()
	m.trap = t
	m.mu.Unlock()
	select {
	case <-t.sprung:
		return true
	case <-time.After(within):
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.trap == t {
			m.trap = nil
			return false
		}
		return true
	}
}

func (f *fleet) close() {
	for _, m := range f.members {
		proc, _ := m.now()
		proc.kill()
		for _, p := range m.proxies {
			p.Close()
		}
	}
}

// drain ends the workers as an operator does, and returns how many had to be
// killed.
func (f *fleet) drain(patience time.Duration) (killed int) {
	for _, m := range f.members {
		proc, _ := m.now()
		proc.signal(syscall.SIGTERM)
	}
	limit := time.After(patience)
	for _, m := range f.members {
		proc, _ := m.now()
		select {
		case <-proc.done:
		case <-limit:
			killed++
			proc.kill()
		}
	}
	return killed
}
