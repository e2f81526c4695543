package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sweep removes whatever the slot's bed left, however it ended: processes,
// mounts, the bridge, cgroups, sockets and the data in dir. It is called by
// the bed's own Close and by the next owner of the slot.
func (s *slot) sweep(dir string) error {
	data := filepath.Join(dir, "data")
	sockets := s.shimSockets()
	return errors.Join(
		s.killAll(),
		removeFiles(sockets),
		unmountUnder(s.dir(), data),
		s.removeBridge(),
		s.removeCgroups(),
		os.RemoveAll(s.dir()),
		os.RemoveAll(data),
	)
}

// shimSockets lists the sockets of the containers' shims, which lie outside of
// our directories. A shim that is killed leaves its own behind; the container's
// bundle says where.
func (s *slot) shimSockets() []string {
	notes, _ := filepath.Glob(s.path("docker/containerd/daemon/io.containerd.runtime.v2.task/*/*/address"))
	var sockets []string
	for _, note := range notes {
		text, _ := os.ReadFile(note)
		if socket, ok := strings.CutPrefix(string(text), "unix://"); ok {
			sockets = append(sockets, socket)
		}
	}
	return sockets
}

func removeFiles(paths []string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// leftovers lists what sweep should have removed, one sentence each.
func (s *slot) leftovers(dir string) []string {
	var left []string
	for _, p := range s.processes() {
		left = append(left, fmt.Sprintf("process %d (%s)", p.pid, p.command()))
	}
	mounts, err := mountsUnder(s.dir(), filepath.Join(dir, "data"))
	for _, m := range mounts {
		left = append(left, "mount "+m)
	}
	if err != nil {
		left = append(left, "mounts that cannot be listed: "+err.Error())
	}
	if _, err := net.InterfaceByName(s.bridge()); err == nil {
		left = append(left, "network bridge "+s.bridge())
	}
	for _, group := range s.cgroupDirs() {
		left = append(left, "cgroup "+group)
	}
	for _, path := range []string{s.dir(), filepath.Join(dir, "data")} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, "directory "+path)
		}
	}
	return left
}

// killAll ends every process of the bed with SIGKILL and waits until they are
// gone. Callers have asked the daemons to stop before.
func (s *slot) killAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		alive := s.processes()
		for _, p := range alive {
			// It may be gone by now; the next look tells.
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		return len(alive) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("processes of the bed survive SIGKILL: %w", err)
	}
	return nil
}

// unmountUnder detaches every mount below the directories, deepest first.
func unmountUnder(dirs ...string) error {
	mounts, err := mountsUnder(dirs...)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		if err := unmount(m); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m, err))
		}
	}
	return errors.Join(errs...)
}

// mountsUnder lists mount points in the order in which they were mounted.
func mountsUnder(dirs ...string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(fields[4])
		for _, dir := range dirs {
			if point == dir || strings.HasPrefix(point, dir+"/") {
				found = append(found, point)
			}
		}
	}
	return found, nil
}

// unescapeMount undoes the kernel's octal escapes.
func unescapeMount(point string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(point)
}

// cgroupDirs lists the slot's cgroups: one on cgroup v2, one in each hierarchy
// on v1.
func (s *slot) cgroupDirs() []string {
	v2, _ := filepath.Glob("/sys/fs/cgroup/" + s.cgroup())
	v1, _ := filepath.Glob("/sys/fs/cgroup/*/" + s.cgroup())
	return append(v2, v1...)
}

// removeCgroups removes the directories from the leaves up; the kernel refuses
// those that still hold a process, and the error says so.
func (s *slot) removeCgroups() error {
	var errs []error
	for _, top := range s.cgroupDirs() {
		var dirs []string
		err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		errs = append(errs, err)
		for _, dir := range slices.Backward(dirs) {
			if err := removeCgroup(dir); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// removeCgroup tries for a moment: the kernel lets go of a cgroup a little
// after its last process has ended.
func removeCgroup(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var last error
	err := poll(ctx, 10*time.Millisecond, func() (bool, error) {
		last = syscall.Rmdir(dir)
		return last == nil || errors.Is(last, syscall.ENOENT), nil
	})
	if err != nil {
		return fmt.Errorf("remove cgroup %s: %w", dir, last)
	}
	return nil
}
