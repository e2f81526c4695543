package buildkit

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// The search for what a wrong path may have meant looks at so many entries, so
// deep, and names so many.
const (
	searchEntries = 20_000
	searchDepth   = 5
	searchNamed   = 3
)

// nearDockerfiles lists the Dockerfiles of the source, the nearest to the
// wanted path first.
func (t *sourceTree) nearDockerfiles(wanted string) []string {
	return t.nearest(wanted, func(entry fs.DirEntry) bool {
		return entry.Type().IsRegular() && looksLikeDockerfile(entry.Name())
	})
}

// nearDirectories lists the directories with the wanted one's name, and where
// there are none, those beside it.
func (t *sourceTree) nearDirectories(wanted string) []string {
	named := t.nearest(wanted, func(entry fs.DirEntry) bool {
		return entry.IsDir() && strings.EqualFold(entry.Name(), path.Base(wanted))
	})
	if len(named) > 0 {
		return named
	}
	return t.nearest(wanted, fs.DirEntry.IsDir)
}

// nearest lists the entries that fit, sorted by how many steps of the path
// separate them from the wanted one.
func (t *sourceTree) nearest(wanted string, fits func(fs.DirEntry) bool) []string {
	var found []string
	seen := 0
	// A part of the tree that cannot be read is left out: this is only a hint.
	_ = fs.WalkDir(t.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if seen++; seen > searchEntries {
			return fs.SkipAll
		}
		if err != nil || name == "." {
			return nil //nolint:nilerr // see above
		}
		if entry.IsDir() && isCrowded(name) {
			return fs.SkipDir
		}
		if fits(entry) {
			found = append(found, name)
		}
		return nil
	})
	slices.SortStableFunc(found, func(a, b string) int {
		return cmp.Or(cmp.Compare(pathDistance(a, wanted), pathDistance(b, wanted)), cmp.Compare(a, b))
	})
	return found[:min(len(found), searchNamed)]
}

// isCrowded reports whether a directory is too deep or holds other people's files.
func isCrowded(name string) bool {
	base := path.Base(name)
	return base == ".git" || base == "node_modules" || base == "vendor" || strings.Count(name, "/") >= searchDepth
}

func looksLikeDockerfile(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, ".dockerignore") {
		return false
	}
	return name == "dockerfile" || name == "containerfile" ||
		strings.HasPrefix(name, "dockerfile.") || strings.HasSuffix(name, ".dockerfile")
}

// pathDistance counts the steps up and down from one path's directory to the
// other's.
func pathDistance(a, b string) int {
	as, bs := steps(path.Dir(a)), steps(path.Dir(b))
	common := 0
	for common < min(len(as), len(bs)) && as[common] == bs[common] {
		common++
	}
	return len(as) + len(bs) - 2*common
}

func steps(dir string) []string {
	if dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}
