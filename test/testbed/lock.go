package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// tryLock opens a file and takes its lock, or returns nil where another holds
// it. The lock ends with the file or the process.
func tryLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, file.Close()
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
}

// lockFile waits for a lock and says once that it waits.
func lockFile(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	var file *os.File
	said := false
	err = poll(ctx, 200*time.Millisecond, func() (bool, error) {
		var err error
		file, err = tryLock(path)
		if file == nil && err == nil && !said {
			said = true
			_, _ = fmt.Fprintln(log, "waiting for another process that prepares the tools")
		}
		return file != nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("take the lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}

// poll calls try until it is done, fails, or the context ends.
func poll(ctx context.Context, every time.Duration, try func() (done bool, err error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
