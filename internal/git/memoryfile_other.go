//go:build !linux

package git

// memoryFile is a file that no file system holds; there are none here.
type memoryFile struct{ path string }

func newMemoryFile(string, []byte) (*memoryFile, error) { return nil, errUnsupportedOS }

func (m *memoryFile) close() {}

func ownProgram() string { return "" }
