package planner

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
	// politeness is how long a program may take to end after SIGTERM, and its
	// children to close its output after it.
	politeness = 300 * time.Millisecond
	// lastRites bounds the wait for what SIGKILL has ended.
	lastRites = time.Second
)

// output is where a program's two outputs go.
type output struct{ stdout, stderr io.Writer }

// start runs a file in a process group of its own and returns when the whole
// group is gone. A context that ends takes the group with it: SIGTERM, then
// SIGKILL.
func (j job) start(ctx context.Context, file string, args []string, to output) error {
	// The kernel ties the parent-death signal to the thread that forked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = j.environ, j.out, to.stdout, to.stderr
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = politeness
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	endGroup(cmd.Process.Pid)
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // it has ended well; what it left behind is gone now
	}
	return err
}

// endGroup kills what is left of a process group and waits, for a moment, until
// nothing of it is there. Orphans that were handed to this process are reaped.
func endGroup(pgid int) {
	timeout := time.NewTimer(lastRites)
	defer timeout.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !errors.Is(syscall.Kill(-pgid, syscall.SIGKILL), syscall.ESRCH) {
		_, _ = syscall.Wait4(-pgid, nil, syscall.WNOHANG, nil)
		select {
		case <-again.C:
		case <-timeout.C:
			return
		}
	}
}
