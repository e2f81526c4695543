package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// refuseLinksOut fails where a link of the planned directory leaves the source
// and leads to something: the program would read it as if it were the app's,
// and a Procfile that is a link to a file of the worker would become the
// image's start command. A link to nothing stays: it means a file of the image.
func refuseLinksOut(req tasks.BuildRequest, program string) error {
	root, err := os.OpenRoot(req.Dir)
	if err != nil {
		return tasks.Fail(tasks.ReasonInternal, "", err)
	}
	defer func() { _ = root.Close() }()
	dir := path.Clean(filepath.ToSlash(strings.TrimLeft(req.Context, "/")))
	err = fs.WalkDir(root.FS(), dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".git" {
			return fs.SkipDir
		}
		if entry.Type()&fs.ModeSymlink == 0 || !leadsOut(root, req.Dir, name) {
			return nil
		}
		message := fmt.Sprintf("%q is a link that leaves the source, and %s would follow it", name, program)
		return tasks.Fail(tasks.ReasonSourceInvalid, message, nil)
	})
	var known *tasks.Failure
	if err != nil && !errors.As(err, &known) {
		return tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("look through the source: %w", err))
	}
	return err
}

// leadsOut reports whether a link leaves the root and there is something at its
// end.
func leadsOut(root *os.Root, dir, name string) bool {
	_, err := root.Stat(name)
	// The error for a link that leaves the root has no exported value.
	if err == nil || !strings.Contains(err.Error(), "escapes") {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
	return !errors.Is(err, fs.ErrNotExist)
}
