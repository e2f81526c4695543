package planner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// tool is a program that may be installed, and the versions of it that are
// known to be understood here.
type tool struct {
	name    string
	path    string
	setting string
	least   version
	below   version
}

// program is a tool that was found.
type program struct {
	tool

	file    string
	version version
}

// String is the program's name and version.
func (p program) String() string { return p.name + " " + p.version.String() }

// version is major, minor and patch.
type version [3]int

// String is 1.30.0.
func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) compare(other version) int {
	return cmp.Or(cmp.Compare(v[0], other[0]), cmp.Compare(v[1], other[1]), cmp.Compare(v[2], other[2]))
}

// find looks for the program and asks for its version.
func (j job) find(ctx context.Context, t tool) (program, error) {
	file, err := exec.LookPath(t.path)
	if err != nil {
		return program{}, t.missing("is not installed", err)
	}
	ctx, cancel := context.WithTimeout(ctx, j.patience)
	defer cancel()
	said := &limited{most: 4 << 10}
	// LookPath has found a file; what it is for is only known when it runs.
	if err := j.start(ctx, file, []string{"--version"}, output{stdout: said, stderr: said}); err != nil {
		if ctx.Err() != nil || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) {
			// It is the machine that is too busy, and may not be for long.
			message := fmt.Sprintf("%s does not answer on this worker: %s --version did not end within %s", t.name, file, j.patience)
			return program{}, tasks.Fail(tasks.ReasonBuilderDown, message, err)
		}
		return program{}, t.missing(fmt.Sprintf("at %s does not say its version", file), err)
	}
	v, ok := parseVersion(string(said.bytes))
	if !ok {
		return program{}, t.missing(fmt.Sprintf("at %s does not say its version", file), nil)
	}
	if v.compare(t.least) < 0 || v.compare(t.below) >= 0 {
		return program{}, t.missing(fmt.Sprintf("at %s is version %s", file, v), nil)
	}
	return program{tool: t, file: file, version: v}, nil
}

// missing is the failure of a program that cannot be used, with what to do.
func (t tool) missing(how string, err error) error {
	message := fmt.Sprintf("%s %s: install version %s or newer, below %s, on the worker's PATH, or name one in %s; a source with a Dockerfile needs none",
		t.name, how, t.least, t.below, t.setting)
	return tasks.Fail(tasks.ReasonBuilderMissing, message, err)
}

// versionText finds "1.39.0" in "nixpacks 1.39.0" and "railpack version v0.37.0".
var versionText = regexp.MustCompile(`\bv?(\d{1,6})\.(\d{1,6})\.(\d{1,6})\b`)

func parseVersion(text string) (version, bool) {
	found := versionText.FindStringSubmatch(text)
	if found == nil {
		return version{}, false
	}
	var v version
	for i := range v {
		v[i], _ = strconv.Atoi(found[i+1])
	}
	return v, true
}

// cannotStart reports whether a program was not run at all, as opposed to
// having failed.
func cannotStart(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) ||
		errors.Is(err, syscall.E2BIG)
}
