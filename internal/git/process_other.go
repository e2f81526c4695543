//go:build !linux

package git

import "syscall"

// ownGroup puts git into a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// runs reports whether the group still has a process.
func runs(pgid int) bool { return syscall.Kill(-pgid, 0) == nil }
