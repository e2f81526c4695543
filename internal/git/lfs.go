package git

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// maxPointer is the size above which a file is no pointer.
	maxPointer = 1024
	// maxLFSFiles is how many files of one repository LFS may hold.
	maxLFSFiles = 20_000
	// maxAttributes bounds what is read of a .gitattributes.
	maxAttributes = 1 << 20
)

// pointer is a file of the tree that stands for one that LFS keeps.
type pointer struct {
	// path is below the checkout, with slashes.
	path string
	oid  string
	size int64
}

// fetchLFS puts the files that LFS keeps into the places of their pointers. We
// do it ourselves: git would run a program that the worker's image does not
// have, and run it for whatever address the repository names.
func (j *job) fetchLFS(ctx context.Context, at checkout) error {
	candidates, err := findPointers(at.dir)
	if err != nil {
		return at.internal(err)
	}
	pointers, err := j.attributed(ctx, at, candidates)
	if err != nil || len(pointers) == 0 {
		return err
	}
	if err := j.checkAmount(at, pointers); err != nil {
		return err
	}
	server, err := j.lfsServer(ctx, at)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(j.rep.Stderr(), "LFS: %d files, %s\n", len(pointers), byteSize(total(pointers)))
	d := &download{server: server, at: at, client: j.client}
	err = j.watched(ctx, d.heard.Load, func(ctx context.Context) error { return d.all(ctx, pointers) })
	if failure := j.ended(d.named(), err); failure != nil {
		return failure
	}
	if err == nil {
		err = j.fits(at.target)
	}
	if err != nil || !at.history {
		return err
	}
	return j.unchanged(ctx, at, pointers)
}

// unchanged tells git not to look at files that are no pointers any more, so
// that `git describe --dirty` sees none of them.
func (j *job) unchanged(ctx context.Context, at checkout, pointers []pointer) error {
	_, err := j.local(ctx, at, paths(pointers), "update-index", "--assume-unchanged", "-z", "--stdin")
	return err
}

// checkAmount refuses what would not fit, before anything is fetched.
func (j *job) checkAmount(at checkout, pointers []pointer) error {
	if len(pointers) > maxLFSFiles {
		return at.fail(tasks.ReasonSourceTooLarge, fmt.Sprintf("LFS holds more than %d of its files", maxLFSFiles), nil)
	}
	most := j.client.maxBytes
	if total(pointers) > most-diskUse(j.dirs(), most) {
		return at.tooLarge(most)
	}
	return nil
}

// total adds up sizes, which parsePointer has bounded, and stops where the sum is absurd.
func total(pointers []pointer) int64 {
	var sum int64
	for _, p := range pointers {
		if sum += p.size; sum > maxObject {
			return sum
		}
	}
	return sum
}

// findPointers returns the files that read as pointers, in a tree whose
// attributes mention LFS at all.
func findPointers(dir string) ([]pointer, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	small, mentioned := []string{}, false
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		case entry.Name() == ".gitattributes":
			mentioned = mentioned || bytes.Contains(readUpTo(root, name, maxAttributes), []byte("lfs"))
		}
		if info, err := entry.Info(); err == nil && info.Size() <= maxPointer {
			small = append(small, name)
		}
		return nil
	})
	if err != nil || !mentioned {
		return nil, err
	}
	var pointers []pointer
	for _, name := range small {
		if p, ok := parsePointer(readUpTo(root, name, maxPointer)); ok {
			p.path = name
			pointers = append(pointers, p)
		}
	}
	return pointers, nil
}

// readUpTo returns the beginning of a file, or nothing where it cannot be read.
func readUpTo(root *os.Root, name string, most int64) []byte {
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	content := make([]byte, most)
	n, _ := file.ReadAt(content, 0)
	return content[:n]
}

// maxObject is the largest size that a pointer may name: nothing of it fits anywhere.
const maxObject = 1 << 50

// parsePointer reads a pointer file: lines of a key, a space and a value, the
// version first.
func parsePointer(content []byte) (pointer, bool) {
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if lines[0] != "version https://git-lfs.github.com/spec/v1" && lines[0] != "version https://hawser.github.com/spec/v1" {
		return pointer{}, false
	}
	var p pointer
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "oid":
			p.oid, _ = strings.CutPrefix(value, "sha256:")
		case "size":
			size, err := strconv.ParseUint(value, 10, 63)
			if err != nil || size > maxObject {
				return pointer{}, false
			}
			p.size = int64(size)
		}
	}
	return p, oidPattern.MatchString(p.oid)
}

// attributed keeps the candidates that the attributes give to LFS: a text
// about pointers is no pointer.
func (j *job) attributed(ctx context.Context, at checkout, candidates []pointer) ([]pointer, error) {
	if len(candidates) == 0 {
		return nil, nil
	}
	text, err := j.local(ctx, at, paths(candidates), "check-attr", "-z", "--stdin", "filter")
	if err != nil {
		return nil, err
	}
	// Path, attribute and value follow one another.
	fields := strings.Split(text, "\x00")
	ours := map[string]bool{}
	for triple := range slices.Chunk(fields, 3) {
		if len(triple) == 3 && triple[2] == "lfs" {
			ours[triple[0]] = true
		}
	}
	return slices.DeleteFunc(candidates, func(p pointer) bool { return !ours[p.path] }), nil
}

func paths(pointers []pointer) string {
	var b strings.Builder
	for _, p := range pointers {
		b.WriteString(p.path + "\x00")
	}
	return b.String()
}
