package testbed

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proc is one running process.
type proc struct{ pid, parent int }

// command returns the command line, cut to what fits a message.
func (p proc) command() string {
	text, _ := os.ReadFile(procFile(p.pid, "cmdline"))
	line := strings.TrimSpace(string(bytes.ReplaceAll(text, []byte{0}, []byte(" "))))
	return line[:min(len(line), 120)]
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// processes lists what the bed runs: processes that carry its mark, everything
// they have started, and everything in its cgroups. A container's own process
// has neither our environment nor, once its parents are gone, our ancestry.
func (s *slot) processes() []proc {
	all := allProcesses()
	ours := map[int]bool{}
	for _, p := range all {
		if hasEnv(p.pid, s.mark()) {
			ours[p.pid] = true
		}
	}
	for _, pid := range s.cgroupMembers() {
		ours[pid] = true
	}
	addChildren(all, ours)
	delete(ours, os.Getpid())
	var found []proc
	for _, p := range all {
		if ours[p.pid] {
			found = append(found, p)
		}
	}
	return found
}

// addChildren adds descendants until there are no more.
func addChildren(all []proc, set map[int]bool) {
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if set[p.parent] && !set[p.pid] && p.parent != os.Getpid() {
				set[p.pid], grown = true, true
			}
		}
	}
}

// allProcesses lists every process that is not a zombie.
func allProcesses() []proc {
	entries, _ := os.ReadDir("/proc")
	var all []proc
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, ok := readProc(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// readProc reads state and parent, which follow the command in parentheses.
func readProc(pid int) (proc, bool) {
	text, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return proc{}, false
	}
	_, rest, _ := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return proc{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return proc{pid: pid, parent: parent}, err == nil
}

func hasEnv(pid int, entry string) bool {
	env, err := os.ReadFile(procFile(pid, "environ"))
	if err != nil {
		return false
	}
	for field := range bytes.SplitSeq(env, []byte{0}) {
		if string(field) == entry {
			return true
		}
	}
	return false
}

// cgroupMembers lists the processes in the slot's cgroups.
func (s *slot) cgroupMembers() []int {
	var pids []int
	for _, top := range s.cgroupDirs() {
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			text, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}
