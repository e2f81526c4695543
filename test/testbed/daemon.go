package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// startTimeout is how long a daemon has until it answers.
const startTimeout = 60 * time.Second

// daemon is one server process. It can be stopped or killed and started again.
type daemon struct {
	name string
	// argv starts it; log is the file that takes its output.
	argv []string
	env  []string
	log  string
	// term is the signal that asks it to stop, grace how long it may take.
	term  syscall.Signal
	grace time.Duration
	// answers returns nil when the daemon does its work.
	answers func(ctx context.Context) error

	cmd  *exec.Cmd
	done chan struct{}
	exit error
}

// start runs the daemon and returns when it answers. A daemon that ends before
// that, or is too slow, is an error with the last lines of its log.
func (d *daemon) start(ctx context.Context) error {
	if d.running() {
		return fmt.Errorf("start %s: it runs already as process %d", d.name, d.cmd.Process.Pid)
	}
	if err := d.exec(); err != nil {
		return fmt.Errorf("start %s: %w", d.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		select {
		case <-d.done:
			return false, fmt.Errorf("it ended: %w", d.exit)
		default:
		}
		last = d.answers(ctx)
		return last == nil, nil
	})
	if err != nil {
		d.kill()
		return fmt.Errorf("start %s: %w", d.name, d.explain(err, last))
	}
	return nil
}

// exec starts the process in a group of its own, so that a terminal's Ctrl-C
// reaches only us and we stop the parts in order.
func (d *daemon) exec() error {
	log, err := os.OpenFile(d.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.argv[0], d.argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	d.cmd, d.done = cmd, done
	go func() {
		defer close(done)
		d.exit = cmd.Wait()
	}()
	return nil
}

// explain joins what was waited for with what the daemon said.
func (d *daemon) explain(err, last error) error {
	if last != nil && errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s: %w", startTimeout, last)
	}
	return fmt.Errorf("%w\n%s says:\n%s", err, d.log, tail(d.log, 15))
}

// running reports whether the process is alive.
func (d *daemon) running() bool {
	if d.cmd == nil {
		return false
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// stop asks the daemon to end, and kills its process group where it has not
// after the grace time. A daemon that does not run is stopped already.
func (d *daemon) stop() error {
	if !d.running() {
		return nil
	}
	if err := d.cmd.Process.Signal(d.term); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", d.name, err)
	}
	timer := time.NewTimer(d.grace)
	defer timer.Stop()
	select {
	case <-d.done:
		return nil
	case <-timer.C:
		d.kill()
		return fmt.Errorf("stop %s: it did not end within %s and was killed", d.name, d.grace)
	}
}

// kill ends the daemon's process group with SIGKILL and waits for the daemon.
func (d *daemon) kill() {
	if !d.running() {
		return
	}
	// The group is gone where the daemon ended in between.
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.done
}

// tail returns the last lines of a file.
func tail(path string, n int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const most = 16 << 10
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(file)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
