package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// workspacePrefix marks the folders of workers in the common parent.
	workspacePrefix = "dispatchd-"
	lockFile        = "lock"
)

// Workspace is this process's folder for the work directories of its tasks. It
// holds a lock for as long as the process lives, so that others can tell what
// a dead worker left.
type Workspace struct {
	dir  string
	lock *os.File
}

// OpenWorkspace makes a folder of this process's own under parent, which is
// made where it is missing. A parent of another user's is refused: its owner
// could put anything in the place of what is built.
func OpenWorkspace(parent string) (*Workspace, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("make the work directory: %w", err)
	}
	if err := checkOwner(parent); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, workspacePrefix)
	if err != nil {
		return nil, fmt.Errorf("make the work directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the work directory %s: %w", dir, err), os.RemoveAll(dir))
	}
	return &Workspace{dir: dir, lock: lock}, nil
}

// checkOwner refuses a directory, or a link to one, that is neither ours nor
// root's: in a directory for temporary files anybody may be there first.
func checkOwner(dir string) error {
	for _, look := range []func(string) (os.FileInfo, error){os.Lstat, os.Stat} {
		info, err := look(dir)
		if err != nil {
			return fmt.Errorf("look at the work directory: %w", err)
		}
		owner, known := info.Sys().(*syscall.Stat_t)
		if known && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
			return fmt.Errorf("the work directory %s belongs to user %d, who could change what is built there: remove it, or set DISPATCHD_WORK_DIR", dir, owner.Uid)
		}
	}
	return nil
}

// lockDir makes the folder's lock file. It gets its name only when it is locked,
// so that nobody takes a folder that is just being made for an abandoned one.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	lock, err := os.OpenFile(path+".new", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Create makes an empty directory for one attempt at a task.
func (w *Workspace) Create(taskID string) (string, error) {
	dir, err := os.MkdirTemp(w.dir, taskID[:min(len(taskID), 40)]+"-")
	if err != nil {
		reason := tasks.ReasonInternal
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			reason = tasks.ReasonDiskFull
		}
		return "", tasks.Fail(reason, "", err)
	}
	return dir, nil
}

// Remove removes what Create made.
func (w *Workspace) Remove(dir string) error { return os.RemoveAll(dir) }

// Reap removes the folders that dead workers left beside ours and returns how
// many there were.
func (w *Workspace) Reap() (int, error) {
	parent := filepath.Dir(w.dir)
	entries, err := os.ReadDir(parent)
	if err != nil {
		return 0, fmt.Errorf("look for left work directories: %w", err)
	}
	reaped := 0
	var failed error
	for _, entry := range entries {
		dir := filepath.Join(parent, entry.Name())
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), workspacePrefix) || dir == w.dir || !abandoned(dir) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		reaped++
	}
	return reaped, failed
}

// abandoned reports whether nobody holds the folder's lock. A folder whose lock
// file is not there yet belongs to a worker that is just starting.
func abandoned(dir string) bool {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = lock.Close() }()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// Close removes the folder and lets its lock go.
func (w *Workspace) Close() error { return errors.Join(os.RemoveAll(w.dir), w.lock.Close()) }
