package git

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// ownGroup puts git into a process group of its own, and ends it where the
// worker is killed without a chance to do so.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// runs reports whether a process of the group has not ended yet; a dead one
// that nobody has reaped does not count.
func runs(pgid int) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// The name in brackets may hold anything; state, parent and group follow it.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) > 2 && string(fields[2]) == strconv.Itoa(pgid) && !bytes.ContainsAny(fields[0], "ZX") {
			return true
		}
	}
	return false
}
