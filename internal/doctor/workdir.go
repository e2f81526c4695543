package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WorkDir is the parent of the tasks' directories.
type WorkDir struct {
	Path string
	// TaskBytes is how much one task may take, Slots how many run at once.
	TaskBytes int64
	Slots     int
}

// leastFree is below what no task can do anything, and leastInodes likewise.
const (
	leastFree   = 100 << 20
	leastInodes = 10_000
)

// Check writes a file there and reads what the file system says of itself.
func (w WorkDir) Check(context.Context) []Result {
	tried := "write to " + w.Path
	option := "DISPATCHD_WORK_DIR"
	if err := w.write(); err != nil {
		return []Result{bad(Fail, tried, err.Error(), remedy{option, "name a directory that this user may write to"})}
	}
	results := []Result{good(tried, "works")}
	disk, err := readDisk(existing(w.Path))
	if err != nil {
		return append(results, bad(Warn, "look at the disk of "+w.Path, err.Error(), remedy{option, "see to it that there is room"}))
	}
	return append(results, w.judge(disk)...)
}

// write makes the directory as a worker does, and a file in it. It leaves
// nothing behind: where the directory was not there, it is not there again.
func (w WorkDir) write() error {
	if _, err := os.Stat(w.Path); errors.Is(err, fs.ErrNotExist) {
		defer func() { _ = os.Remove(w.Path) }()
	}
	if err := os.MkdirAll(w.Path, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(w.Path, "doctor-")
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(dir, "file"), []byte("written by dispatchd doctor\n"), 0o600)
	return errors.Join(err, os.RemoveAll(dir))
}

// existing is the nearest directory that is there.
func existing(path string) string {
	for path != filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// disk is what a file system says of itself.
type disk struct {
	free int64
	// inodes is how many files may still be made; -1 where that has no limit.
	inodes int64
	noExec bool
}

func (w WorkDir) judge(d disk) []Result {
	option := "DISPATCHD_WORK_DIR"
	tried := "look at the disk of " + w.Path
	found := fmt.Sprintf("%s free", bytesText(d.free))
	need := w.TaskBytes * int64(w.Slots)
	var results []Result
	switch {
	case d.free < leastFree:
		results = append(results, bad(Fail, tried, found, remedy{option, "free some room, or name a directory on a larger disk"}))
	case d.free < need:
		results = append(results, bad(Warn, tried, fmt.Sprintf("%s, less than the %s that %d tasks of DISPATCHD_GIT_MAX_BYTES take", found, bytesText(need), w.Slots),
			remedy{option, "name a larger disk, or lower DISPATCHD_GIT_MAX_BYTES or DISPATCHD_SLOTS"}))
	default:
		results = append(results, good(tried, "%s", found))
	}
	if d.inodes >= 0 && d.inodes < leastInodes {
		results = append(results, bad(Warn, tried, fmt.Sprintf("%d files more can be made", d.inodes), remedy{option, "name a file system with more inodes"}))
	}
	if d.noExec {
		results = append(results, bad(Warn, tried, "mounted noexec: programs in a checkout cannot be run", remedy{option, "name a directory on another mount"}))
	}
	return results
}

// bytesText is a size for a person.
func bytesText(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
