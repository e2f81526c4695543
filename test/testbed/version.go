package testbed

import (
	"context"
	"debug/elf"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// version is major and minor; nothing here depends on more.
type version struct{ major, minor int }

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

var versionText = regexp.MustCompile(`\bv?(\d+)\.(\d+)\.\d+`)

// parseVersion reads the first x.y.z in what a program says about itself.
func parseVersion(text string) (version, error) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return version{}, fmt.Errorf("no version in %q", text)
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return version{}, err
	}
	minor, err := strconv.Atoi(m[2])
	return version{major, minor}, err
}

// askVersion runs the program; one that does not even say its version is not
// good enough for anything.
func askVersion(ctx context.Context, path string) (version, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	arg := "--version"
	if filepath.Base(path) == "nomad" {
		arg = "version"
	}
	out, err := exec.CommandContext(ctx, path, arg).Output()
	if err != nil {
		return version{}, fmt.Errorf("%s %s: %w", path, arg, err)
	}
	return parseVersion(string(out))
}

// isStatic reports whether a program needs no loader.
func isStatic(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	for _, prog := range file.Progs {
		if prog.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
