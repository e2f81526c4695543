//go:build !linux

package git

import "errors"

// memoryFile is a file that no file system holds; there are none here.
type memoryFile struct{ path string }

func newMemoryFile(string, []byte) (*memoryFile, error) {
	return nil, errors.New("deploy keys need a worker on Linux")
}

func (m *memoryFile) close() {}

func ownProgram() string { return "" }
