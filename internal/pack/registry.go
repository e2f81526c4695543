package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Limits on what is read of a pack that is not embedded.
const (
	maxPackFiles = 500
	maxPackFile  = 1 << 20
	maxPackBytes = 8 << 20
)

// packsDir is where a registry keeps its packs.
const packsDir = "packs"

// Origin is one revision of a registry.
type Origin struct {
	URL string
	// Ref is a branch, a tag or a commit; empty is the default branch.
	Ref string
	// Token may read it; it is for the URL's host alone.
	Token tasks.Secret
}

// Fetch puts a revision into dir, which does not exist yet, and returns its
// commit. Its errors are *tasks.Failure.
type Fetch func(ctx context.Context, from Origin, dir string, rep tasks.Reporter) (commit string, err error)

// fetched returns a registry's pack. It reads all that it needs and leaves
// nothing of the registry on the disk.
func (r *Renderer) fetched(ctx context.Context, name string, req tasks.RenderRequest) (*pack, error) {
	if r.fetch == nil || req.Dir == "" || req.Report == nil {
		return nil, unsupported(name, req.Deploy, "only embedded packs are rendered here")
	}
	from, err := allowed(r.registries, req.Deploy.RegistrySource, req.Deploy.RegistryRef)
	if err != nil {
		return nil, unsupported(name, req.Deploy, err.Error())
	}
	from.Token = req.RegistryToken
	if err := os.RemoveAll(req.Dir); err != nil {
		return nil, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("empty %s: %w", req.Dir, err))
	}
	commit, err := r.fetch(ctx, from, req.Dir, req.Report)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(req.Dir) }()
	p, err := loadFetched(req.Dir, name)
	if err != nil {
		return nil, failed(name, fmt.Errorf("%w (%s at %s)", err, from.URL, commit))
	}
	_, _ = fmt.Fprintf(req.Report.Stdout(), "pack %s %s from %s at %s\n", name, p.metadata.Pack.Version, from.URL, commit)
	return p, nil
}

// loadFetched reads a pack of a registry's tree, beneath the tree's root.
func loadFetched(dir, name string) (*pack, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	packs, err := fs.Sub(root.FS(), packsDir)
	if err != nil {
		return nil, err
	}
	if err := checkTree(packs, name); err != nil {
		return nil, err
	}
	p, err := load(packs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the registry has no %s%s", path.Join(packsDir, name), nearPack(packs, name))
	}
	if err != nil {
		return nil, err
	}
	p.foreign = true
	for i := range p.variables {
		p.variables[i].foreign = true
	}
	return p, nil
}

// checkTree refuses a pack that holds anything but regular files, or too much.
// Only what a pack is made of is looked at; the rest is never read.
func checkTree(packs fs.FS, name string) error {
	files, bytes := 0, int64(0)
	return fs.WalkDir(packs, name, func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if file == name {
			return mustBeDirectory(file, entry)
		}
		inside := strings.TrimPrefix(file, name+"/")
		if inside != "metadata.hcl" && inside != "variables.hcl" && inside != "templates" && !strings.HasPrefix(inside, "templates/") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return checkFile(file, info, files, bytes)
	})
}

func mustBeDirectory(file string, entry fs.DirEntry) error {
	if !entry.IsDir() {
		return fmt.Errorf("%s is not a directory", path.Join(packsDir, file))
	}
	return nil
}

func checkFile(file string, info fs.FileInfo, files int, bytes int64) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is a link or a special file: a pack is made of regular files", file)
	case info.Size() > maxPackFile:
		return fmt.Errorf("%s is larger than %d bytes", file, maxPackFile)
	case files > maxPackFiles:
		return fmt.Errorf("the pack has more than %d files", maxPackFiles)
	case bytes > maxPackBytes:
		return fmt.Errorf("the pack's files are larger than %d bytes together", maxPackBytes)
	}
	return nil
}

// nearPack names the registry's pack that may have been meant.
func nearPack(packs fs.FS, name string) string {
	entries, err := fs.ReadDir(packs, ".")
	if err != nil {
		return fmt.Sprintf(": it has no directory %s", packsDir)
	}
	var known []string
	for _, entry := range entries {
		if entry.IsDir() {
			known = append(known, entry.Name())
		}
	}
	return tasks.DidYouMean(name, known)
}

// unsupported is the failure for a registry that this worker does not take.
func unsupported(name string, d tasks.ProjectDeploy, why string) error {
	registry := or(d.RegistryName, d.RegistrySource)
	return tasks.Fail(tasks.ReasonUnsupported, fmt.Sprintf("deploy pack %q from registry %q: %s", name, registry, why), nil)
}
