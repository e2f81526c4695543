package planner

import "syscall"

// ownGroup puts a program into a process group of its own, and ends it where
// the worker is killed without a chance to do so.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
