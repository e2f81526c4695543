//go:build !linux

package doctor

import "errors"

func readDisk(string) (disk, error) {
	return disk{}, errors.New("not known on this system")
}
