package buildkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// sourceTree is a checked source: every path is opened beneath the root, so a
// symlink that leaves it cannot be followed, now or while the build runs.
type sourceTree struct {
	root    fsutil.Root
	context fsutil.Root
	// dockerfile is relative to the root, slash-separated.
	dockerfile string
	// keepGit leaves the repository beside its files.
	keepGit bool
}

// openSource checks where the build's context and its Dockerfile are. The
// caller closes the tree.
func openSource(req tasks.BuildRequest) (*sourceTree, error) {
	root, err := os.OpenRoot(req.Dir)
	if err != nil {
		return nil, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("open the source tree: %w", err))
	}
	tree := &sourceTree{root: fsutil.NewRoot(root), keepGit: req.KeepGit}
	if err := tree.resolve(req); err != nil {
		tree.close()
		return nil, err
	}
	return tree, nil
}

func (t *sourceTree) resolve(req tasks.BuildRequest) error {
	dir := cleanPath(req.Context)
	if err := t.openContext(dir); err != nil {
		return err
	}
	var err error
	t.dockerfile, err = t.findDockerfile(dir, req.Dockerfile)
	return err
}

// openContext opens the root directory of the build.
func (t *sourceTree) openContext(dir string) error {
	if !filepath.IsLocal(dir) {
		return leaves("root directory", dir)
	}
	info, err := t.root.Stat(dir)
	switch {
	case isMissing(err):
		return notFound("root directory", dir, t.nearDirectories(dir))
	case err != nil:
		return unusable("root directory", dir, err)
	case !info.IsDir():
		return tasks.Fail(tasks.ReasonSourceInvalid, fmt.Sprintf("root directory %q is a file", dir), nil)
	}
	context, err := t.root.OpenRoot(dir)
	if err != nil {
		return unusable("root directory", dir, err)
	}
	t.context = fsutil.NewRoot(context)
	return nil
}

// findDockerfile returns the Dockerfile's path from the root of the source. A
// path is looked up in the context first, then in the root; a leading slash
// means the root alone.
func (t *sourceTree) findDockerfile(dir, name string) (string, error) {
	if name == "" {
		name = "Dockerfile"
	}
	tries := []string{path.Join(dir, name), path.Clean(name)}
	if strings.HasPrefix(name, "/") {
		tries = []string{cleanPath(name)}
	}
	inside := 0
	for _, try := range tries {
		if !filepath.IsLocal(try) {
			continue
		}
		inside++
		found, err := t.hasFile(try)
		if err != nil || found {
			return try, err
		}
	}
	if inside == 0 {
		return "", leaves("Dockerfile", name)
	}
	near := t.nearDockerfiles(tries[0])
	if len(near) == 0 {
		return "", tasks.Fail(tasks.ReasonSourceInvalid, fmt.Sprintf("Dockerfile %q not found: add one, or choose another builder", name), nil)
	}
	return "", notFound("Dockerfile", name, near)
}

// hasFile reports whether the path is a regular file beneath the root.
func (t *sourceTree) hasFile(name string) (bool, error) {
	info, err := t.root.Stat(name)
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, unusable("Dockerfile", name, err)
	}
	return info.Mode().IsRegular(), nil
}

// mounts are the two file systems that the daemon may read. The Dockerfile's
// is the whole source, of which the frontend asks for the Dockerfile and its
// own .dockerignore, so that a link to another place of the source works.
func (t *sourceTree) mounts() (map[string]fsutil.FS, error) {
	mounts := make(map[string]fsutil.FS, 2)
	for name, root := range map[string]fsutil.Root{"context": t.context, "dockerfile": t.root} {
		filtered, err := fsutil.NewFilterFS(fsutil.NewRootFS(root), &fsutil.FilterOpt{Map: t.filter})
		if err != nil {
			return nil, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("filter the %s mount: %w", name, err))
		}
		mounts[name] = filtered
	}
	return mounts, nil
}

// filter decides what the daemon sees of one path. What .dockerignore leaves out
// the frontend itself tells the daemon not to ask for.
func (t *sourceTree) filter(name string, stat *fstypes.Stat) fsutil.MapResult {
	if !t.keepGit && path.Base(filepath.ToSlash(name)) == ".git" {
		return skipGit(stat)
	}
	withoutMachine(stat)
	return fsutil.MapResultKeep
}

// skipGit keeps every .git out of the build, whatever .dockerignore says: it
// may hold the history, and an image needs it only where the task says so.
func skipGit(stat *fstypes.Stat) fsutil.MapResult {
	if stat.IsDir() {
		return fsutil.MapResultSkipDir
	}
	return fsutil.MapResultExclude
}

// withoutMachine takes away what the machine, not the source, has given a file:
// the umask's share of its mode, and extended attributes. Whether it can be
// executed is all that git and archives say. Times stay: the daemon compares
// them with those of the last build to learn which files are new.
func withoutMachine(stat *fstypes.Stat) {
	stat.Xattrs = nil
	mode := fs.FileMode(stat.Mode)
	switch {
	case mode.IsDir():
		stat.Mode = uint32(fs.ModeDir | 0o755)
	case mode.IsRegular() && mode&0o100 != 0:
		stat.Mode = 0o755
	case mode.IsRegular():
		stat.Mode = 0o644
	}
}

func (t *sourceTree) close() {
	if t.context != nil {
		_ = t.context.Close()
	}
	_ = t.root.Close()
}

// cleanPath makes a path relative; a leading slash means the root of the source.
func cleanPath(name string) string {
	return path.Clean(strings.TrimLeft(name, "/"))
}

// isMissing reports whether there is nothing at a path; ENOTDIR is what a path
// through a file gives.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// unusable says why a path that exists is refused.
func unusable(what, name string, err error) error {
	// The error for a link that leaves the root has no exported value.
	if strings.Contains(err.Error(), "escapes") {
		return leaves(what, name)
	}
	return tasks.Fail(tasks.ReasonSourceInvalid, fmt.Sprintf("%s %q cannot be read", what, name), err)
}

func leaves(what, name string) error {
	return tasks.Fail(tasks.ReasonSourceInvalid, fmt.Sprintf("%s %q leaves the source", what, name), nil)
}

func notFound(what, name string, near []string) error {
	message := fmt.Sprintf("%s %q not found", what, name)
	if len(near) > 0 {
		message += "; found " + strings.Join(near, ", ")
	}
	return tasks.Fail(tasks.ReasonSourceInvalid, message, nil)
}
