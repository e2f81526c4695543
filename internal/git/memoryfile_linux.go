package git

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile is a file that no file system holds. Programs of the same user
// open it by its path for as long as it is not closed.
type memoryFile struct {
	file *os.File
	path string
}

func newMemoryFile(name string, content []byte) (*memoryFile, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	m := &memoryFile{file: os.NewFile(uintptr(fd), name), path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)}
	// ssh refuses a key that others may read.
	_, err = m.file.Write(content)
	if err = errors.Join(err, m.file.Chmod(0o600)); err != nil {
		m.close()
		return nil, fmt.Errorf("fill a file in memory: %w", err)
	}
	return m, nil
}

func (m *memoryFile) close() {
	if m != nil {
		_ = m.file.Close()
	}
}

// ownProgram is the path of the running program, for git to start it again: it
// leads to the same file even where an upgrade has put another in its place.
func ownProgram() string { return fmt.Sprintf("/proc/%d/exe", os.Getpid()) }
