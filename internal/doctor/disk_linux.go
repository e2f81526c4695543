package doctor

import (
	"fmt"
	"syscall"
)

// noExecFlag is ST_NOEXEC of statfs(2).
const noExecFlag = 0x8

func readDisk(path string) (disk, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil {
		return disk{}, fmt.Errorf("read the file system: %w", err)
	}
	d := disk{free: int64(stat.Bavail) * stat.Bsize, inodes: int64(stat.Ffree), noExec: stat.Flags&noExecFlag != 0} //nolint:unconvert // its type differs between architectures
	if stat.Files == 0 {
		d.inodes = -1
	}
	return d, nil
}
