package upload

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name of one file or directory that file systems take.
const maxName = 255

// kind is what an entry is.
type kind int

const (
	isFile kind = iota
	isDirectory
	isLink
)

// entry is one thing that an archive says it holds.
type entry struct {
	name string
	kind kind
	// executable is all that is taken of a file's mode.
	executable bool
	// size is what the archive says of the content.
	size    int64
	content io.Reader
	// target is where a link points.
	target string
}

// node is a path of the tree that is taken.
type node struct {
	name string
	kind kind
}

// link is a symbolic link that is yet to be made.
type link struct{ name, target string }

// tree is an archive's content on its way to the disk. Its methods are not safe
// for concurrent use.
type tree struct {
	root    *os.Root
	options Options
	// budget is how many bytes the files may hold; tight is true where the
	// archive's own size sets it.
	budget int64
	tight  bool

	// taken holds each path by its text in lower case.
	taken   map[string]node
	links   []link
	entries int
	files   int
	skipped int
	bytes   int64
	buffer  []byte
}

// newTree returns an empty tree for an archive of that size.
func newTree(root *os.Root, o Options, size int64) *tree {
	t := &tree{root: root, options: o, budget: o.MaxBytes, taken: map[string]node{}, buffer: make([]byte, 64<<10)}
	if byRatio := max(1<<20, size*o.MaxRatio); byRatio < t.budget {
		t.budget, t.tight = byRatio, true
	}
	return t
}

// streamBytes is what a tar's stream may have, headers and padding included.
func (t *tree) streamBytes() int64 {
	const perEntry = 4 << 10
	return t.budget + int64(t.options.MaxFiles+1)*perEntry
}

// tooMany is the error for an archive with more bytes than its budget.
func (t *tree) tooMany() error {
	if t.tight {
		return tooLarge("its archive unpacks to more than %d times its size", t.options.MaxRatio)
	}
	return tooLarge("its archive unpacks to more than %s", byteSize(t.budget))
}

// count takes one more entry or directory into account.
func (t *tree) count() error {
	if t.entries++; t.entries > t.options.MaxFiles {
		return tooLarge("its archive holds more than %d files and directories", t.options.MaxFiles)
	}
	return nil
}

// add puts one entry into the tree. Links are made at the end, so nothing is
// ever written through one.
func (t *tree) add(ctx context.Context, e entry) error {
	if err := t.count(); err != nil {
		return err
	}
	name, err := t.clean(e.name)
	if err != nil || name == "" {
		return err
	}
	if isForeign(name) {
		t.skipped++
		return nil
	}
	if err := t.makeParents(name); err != nil {
		return err
	}
	if e.kind == isDirectory {
		return t.makeDirectory(name)
	}
	if err := t.take(name, e.kind); err != nil {
		return err
	}
	t.files++
	if e.kind == isLink {
		t.links = append(t.links, link{name, e.target})
		return nil
	}
	return t.write(ctx, name, e)
}

// clean returns an entry's path below the root, empty for the root itself.
func (t *tree) clean(name string) (string, error) {
	switch {
	case len(name) > t.options.MaxPath:
		return "", tooLarge("%q in its archive is a path of more than %d bytes", printable(name), t.options.MaxPath)
	case !utf8.ValidString(name):
		return "", invalid("%q in its archive is a name that is not UTF-8", printable(name))
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", invalid("%q in its archive is a name with control characters", printable(name))
	case strings.ContainsRune(name, '\\'):
		return "", invalid("%q in its archive is a name with a backslash; directories are separated by /", printable(name))
	case strings.HasPrefix(name, "/"):
		return "", invalid("%q in its archive is an absolute path", printable(name))
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	kept := parts[:0]
	for _, part := range parts {
		switch {
		case part == "..":
			return "", invalid("%q in its archive leaves the archive", printable(name))
		case len(part) > maxName:
			return "", tooLarge("%q in its archive is a name of more than %d bytes", printable(name), maxName)
		case part != ".":
			kept = append(kept, part)
		}
	}
	if len(kept) > t.options.MaxDepth {
		return "", tooLarge("%q in its archive lies more than %d directories deep", printable(name), t.options.MaxDepth)
	}
	return strings.Join(kept, "/"), nil
}

// isForeign reports whether a path is git's own or what macOS adds: neither is
// part of a source.
func isForeign(name string) bool {
	parts := strings.Split(name, "/")
	if strings.EqualFold(parts[0], "__MACOSX") {
		return true
	}
	for _, part := range parts {
		if strings.EqualFold(part, ".git") {
			return true
		}
	}
	return false
}

// take claims a path for an entry. Two entries may not have one path, nor two
// that a file system which ignores case would take for one.
func (t *tree) take(name string, as kind) error {
	if err := t.conflict(name, as); err != nil {
		return err
	}
	t.taken[strings.ToLower(name)] = node{name, as}
	return nil
}

func (t *tree) conflict(name string, as kind) error {
	other, exists := t.taken[strings.ToLower(name)]
	switch {
	case !exists:
		return nil
	case other.name != name:
		return invalid("%q and %q in its archive differ in case alone", printable(other.name), printable(name))
	case other.kind == isDirectory && as == isDirectory:
		return nil
	}
	return invalid("%q is in its archive twice", printable(name))
}

// makeParents makes the directories above a path.
func (t *tree) makeParents(name string) error {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if _, known := t.taken[strings.ToLower(name[:i])]; !known {
			if err := t.count(); err != nil {
				return err
			}
		}
		if err := t.makeDirectory(name[:i]); err != nil {
			return err
		}
	}
	return nil
}

// makeDirectory makes a directory, once.
func (t *tree) makeDirectory(name string) error {
	if err := t.conflict(name, isDirectory); err != nil {
		return err
	}
	if _, exists := t.taken[strings.ToLower(name)]; exists {
		return nil
	}
	t.taken[strings.ToLower(name)] = node{name, isDirectory}
	return t.root.Mkdir(name, 0o755)
}

// write makes a file of the size that the archive says, where the budget has room for it.
func (t *tree) write(ctx context.Context, name string, e entry) error {
	if e.size < 0 || e.size > t.budget-t.bytes {
		return t.tooMany()
	}
	mode := os.FileMode(0o644)
	if e.executable {
		mode = 0o755
	}
	file, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	written, err := t.copy(ctx, file, io.LimitReader(e.content, e.size+1))
	if err == nil && written != e.size {
		err = invalid("%q in its archive has another size than the archive says", printable(name))
	}
	return errors.Join(err, file.Close())
}

// copy is io.Copy that ends with its context.
func (t *tree) copy(ctx context.Context, to io.Writer, from io.Reader) (written int64, err error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return written, err
		}
		n, err := from.Read(t.buffer)
		written += int64(n)
		t.bytes += int64(n)
		if _, err := to.Write(t.buffer[:n]); err != nil {
			return written, err
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// onlyDirectory returns the one thing at the top of the tree where that is a directory.
func (t *tree) onlyDirectory() string {
	only := ""
	for _, n := range t.taken {
		if strings.Contains(n.name, "/") {
			continue
		}
		if only != "" || n.kind != isDirectory {
			return ""
		}
		only = n.name
	}
	return only
}

// check holds a link to what stays inside the source, whose root is the
// archive's directory top. The target climbs first and then only descends, so
// that no other link on its way can make it climb further.
func (l link) check(top string) error {
	from := path.Dir(l.name)
	if top != "" {
		from = path.Dir(strings.TrimPrefix(l.name, top+"/"))
	}
	target := strings.TrimSuffix(strings.TrimPrefix(l.target, "./"), "/")
	switch {
	case target == "", path.Clean(target) != target, path.IsAbs(target), strings.ContainsAny(target, "\x00\\"):
		return invalid("%q in its archive is a link to %q, which is not a plain relative path", printable(l.name), printable(l.target))
	case !utf8.ValidString(target) || len(target) > 1024:
		return invalid("%q in its archive is a link to something too long, or not UTF-8", printable(l.name))
	case climbs(target) > depth(from):
		return invalid("%q in its archive is a link to %q, outside of the source", printable(l.name), printable(l.target))
	}
	return nil
}

// depth is how many directories a clean path goes down.
func depth(dir string) int {
	if dir == "." {
		return 0
	}
	return strings.Count(dir, "/") + 1
}

// climbs is how many directories a clean path goes up.
func climbs(target string) (up int) {
	for part := range strings.SplitSeq(target, "/") {
		if part == ".." {
			up++
		}
	}
	return up
}
