package testbed

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	slots = 16
	// firstPort and portsPerSlot keep the beds below Nomad's default dynamic
	// ports (20000) and the kernel's ephemeral ones (32768), so that no program
	// takes a port by chance between our look and the daemon's bind.
	firstPort    = 10000
	portsPerSlot = 600
	// daemonPorts of a slot are for the parts, the rest is for Nomad's jobs.
	daemonPorts = 100
)

// slot is a bed's share of what a host has only once: ports, a bridge, a
// cgroup, and a directory with a name short enough for unix sockets.
type slot struct {
	number int
	lock   *os.File

	mu       sync.Mutex
	nextPort int
}

// claimSlot takes the first free slot and removes what a killed bed left in it.
// dir is the bed's, noted so that the next one can find its mounts.
func claimSlot(dir string) (*slot, error) {
	for n := range slots {
		lock, err := tryLock(filepath.Join(slotRoot, strconv.Itoa(n)+".lock"))
		if err != nil {
			return nil, err
		}
		if lock == nil {
			continue
		}
		s := &slot{number: n, lock: lock}
		if err := s.takeOver(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("take over bed slot %d: %w", n, err), lock.Close())
		}
		return s, nil
	}
	return nil, fmt.Errorf("all %d slots for beds on this machine are taken", slots)
}

func (s *slot) takeOver(dir string) error {
	note, err := os.ReadFile(s.lock.Name())
	if err != nil {
		return err
	}
	if old := strings.TrimSpace(string(note)); old != "" {
		if err := s.sweep(old); err != nil {
			return fmt.Errorf("clean up after the bed in %s, which was killed: %w", old, err)
		}
	}
	if err := s.note(dir); err != nil {
		return err
	}
	return os.MkdirAll(s.dir(), 0o700)
}

// note writes whose the slot is into the lock's file.
func (s *slot) note(dir string) error {
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	_, err := s.lock.WriteAt([]byte(dir), 0)
	return err
}

// release gives the slot back; its owner has swept it.
func (s *slot) release() error {
	return errors.Join(s.note(""), s.lock.Close())
}

const slotRoot = "/run/dispatchd-testbed"

func (s *slot) dir() string             { return filepath.Join(slotRoot, strconv.Itoa(s.number)) }
func (s *slot) path(name string) string { return filepath.Join(s.dir(), name) }

// mark is in the environment of every process of the bed, and of whatever they
// start; it tells our processes from everybody else's.
func (s *slot) mark() string { return "DISPATCHD_TESTBED=" + s.dir() }

// bridge and subnet are of Docker's default network. 198.18.0.0/15 is set
// aside for benchmarks, so no real network has it.
func (s *slot) bridge() string { return "dispatchd-bed" + strconv.Itoa(s.number) }
func (s *slot) subnet() string { return fmt.Sprintf("198.18.%d.1/24", s.number) }

// cgroup is the parent of all containers. The suffix is what Nomad expects on
// cgroup v2.
func (s *slot) cgroup() string { return fmt.Sprintf("dispatchd-bed%d.slice", s.number) }

// jobPorts is the range from which Nomad takes ports for jobs.
func (s *slot) jobPorts() (first, last int) {
	base := firstPort + s.number*portsPerSlot
	return base + daemonPorts, base + portsPerSlot - 1
}

// port returns a free port of the slot that it has not given away before.
func (s *slot) port() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.nextPort < daemonPorts {
		port := firstPort + s.number*portsPerSlot + s.nextPort
		s.nextPort++
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("the %d ports of bed slot %d are used up", daemonPorts, s.number)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func randomText() string { return rand.Text() }
