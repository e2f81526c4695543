package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long the service may take until it is ready.
	readyTimeout = 20 * time.Second
	// stopTimeout is more than the drain that the demo allows.
	stopTimeout  = 15 * time.Second
	drainTimeout = "1s"
)

// worker is `dispatchd run` as a process.
type worker struct {
	cmd  *exec.Cmd
	url  string
	done chan struct{}
}

// workerOptions say how the service is started.
type workerOptions struct {
	binary string
	env    []string
	// addr is its HTTP port, log the file that takes its output.
	addr, log string
	// ended is told when the process has ended, for whatever reason.
	ended func(error)
}

// startWorker starts the service in a process group of its own, so that a
// Ctrl-C reaches only us and we end the parts in order.
func startWorker(o workerOptions) (*worker, error) {
	file, err := os.OpenFile(o.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start dispatchd: %w", err)
	}
	defer func() { _ = file.Close() }()
	w := &worker{cmd: exec.Command(o.binary, "run"), url: "http://" + o.addr, done: make(chan struct{})}
	w.cmd.Env, w.cmd.Stdout, w.cmd.Stderr = o.env, file, file
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start dispatchd: %w", err)
	}
	go func() {
		defer close(w.done)
		_ = w.cmd.Wait()
		o.ended(fmt.Errorf("dispatchd run ended by itself with exit code %d", w.cmd.ProcessState.ExitCode()))
	}()
	return w, nil
}

// ready waits until the service and everything that it needs answer.
func (w *worker) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var last error
	err := poll(ctx, func() (bool, error) {
		last = w.asked(ctx)
		return last == nil, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not ready within %s: %w", readyTimeout, last)
	}
	if err != nil {
		return fmt.Errorf("start dispatchd: %w", err)
	}
	return nil
}

func (w *worker) asked(ctx context.Context) error {
	status, text, err := get(ctx, w.url+"/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/readyz answers %d: %s", status, text)
	}
	return err
}

func (w *worker) running() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// stop asks the service to end, as its supervisor does.
func (w *worker) stop() error {
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop dispatchd: %w", err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		_ = w.cmd.Process.Kill()
		<-w.done
		return fmt.Errorf("stop dispatchd: it did not end within %s and was killed", stopTimeout)
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("stop dispatchd: it ended with exit code %d", code)
	}
	return nil
}

// submit runs `dispatchd submit FILE` and shows what it says. The error is nil
// also where the task failed: the terminal record tells.
func submit(ctx context.Context, binary string, env []string, file string, screen *screen) error {
	out := &quoted{screen: screen}
	defer out.flush()
	cmd := exec.CommandContext(ctx, binary, "submit", file)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	screen.say("$ dispatchd submit %s", filepath.Base(file))
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return fmt.Errorf("dispatchd submit %s: %w", filepath.Base(file), err)
	}
	return nil
}

// poll asks until it is done or the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
