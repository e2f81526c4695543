package git

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// politeness is how long git may take to end after SIGTERM.
	politeness = 300 * time.Millisecond
	// lastRites bounds the wait for what SIGKILL has ended.
	lastRites = time.Second
)

// program is one run of git, or of another program that name says.
type program struct {
	name   string
	args   []string
	env    []string
	dir    string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// run starts the program in a process group of its own and returns when the whole
// group is gone. A context that ends takes the group with it: SIGTERM, then
// SIGKILL.
func (c *Client) run(ctx context.Context, p program) error {
	// The kernel ties the parent-death signal to the thread that forked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, orDefault(p.name, c.git), p.args...)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.env, p.dir, p.stdin, p.stdout, p.stderr
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = politeness
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	endGroup(cmd.Process.Pid)
	return err
}

// endGroup kills what is left of a process group and waits until nothing of it
// runs. Orphans that were handed to this process (it may be the container's
// first) are reaped here; those that another process has yet to reap are dead
// already and not waited for.
func endGroup(pgid int) {
	timeout := time.NewTimer(lastRites)
	defer timeout.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !errors.Is(syscall.Kill(-pgid, syscall.SIGKILL), syscall.ESRCH) {
		_, _ = syscall.Wait4(-pgid, nil, syscall.WNOHANG, nil)
		if !runs(pgid) {
			return
		}
		select {
		case <-again.C:
		case <-timeout.C:
			return
		}
	}
}
