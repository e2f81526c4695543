//go:build !linux

package testbed

import "errors"

func unmount(string) error { return errors.ErrUnsupported }
