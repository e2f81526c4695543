package upload

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"strings"
)

// maxTarget is the longest text of a link.
const maxTarget = 1024

// Flags of a zip entry that say that it, or its name, is encrypted.
const encryptedFlags = 0x1 | 0x40 | 0x2000

// readZip unpacks a zip.
func (t *tree) readZip(ctx context.Context, from io.ReaderAt, size int64) error {
	directory := &boundedAt{from: from, left: t.directoryBytes(), over: t.tooManyNames}
	archive, err := zip.NewReader(directory, size)
	switch {
	case errors.Is(err, zip.ErrFormat):
		return invalid("its zip archive is damaged or cut off")
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return err
	case len(archive.File) > t.options.MaxFiles:
		return t.tooManyNames()
	}
	directory.left = math.MaxInt64
	for _, file := range archive.File {
		if err := t.addZipped(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// directoryBytes bounds what is read before the first file: the zip's directory
// is held in memory.
func (t *tree) directoryBytes() int64 {
	const perEntry, end = 512, 256 << 10
	return int64(t.options.MaxFiles)*perEntry + end
}

func (t *tree) tooManyNames() error {
	return tooLarge("its archive holds more than %d files and directories", t.options.MaxFiles)
}

func (t *tree) addZipped(ctx context.Context, file *zip.File) error {
	e := entry{name: file.Name, executable: file.Mode()&0o111 != 0}
	switch mode := file.Mode(); {
	case strings.HasSuffix(file.Name, "/") || mode.IsDir():
		e.kind = isDirectory
		return t.add(ctx, e)
	case mode.Type() != 0 && mode.Type() != fs.ModeSymlink:
		return invalid("%q in its archive is a device or a pipe", printable(file.Name))
	case file.Flags&encryptedFlags != 0:
		return invalid("%q in its archive is encrypted", printable(file.Name))
	case file.Method != zip.Store && file.Method != zip.Deflate:
		return invalid("%q in its archive is compressed by method %d; only deflate is read", printable(file.Name), file.Method)
	case file.UncompressedSize64 > math.MaxInt64:
		return t.tooMany()
	}
	e.size = int64(file.UncompressedSize64)
	return t.addContent(ctx, e, file)
}

// addContent opens a file or a link, whose content is its target.
func (t *tree) addContent(ctx context.Context, e entry, file *zip.File) error {
	content, err := file.Open()
	if err != nil {
		return invalid("%q in its archive is damaged", printable(file.Name))
	}
	defer func() { _ = content.Close() }()
	e.content = content
	if file.Mode().Type() != fs.ModeSymlink {
		return t.add(ctx, e)
	}
	target, err := io.ReadAll(io.LimitReader(content, maxTarget+1))
	if err != nil {
		return err
	}
	e.kind, e.target = isLink, string(target)
	return t.add(ctx, e)
}

// boundedAt is a file of which only so many bytes may be read.
type boundedAt struct {
	from io.ReaderAt
	left int64
	over func() error
}

func (b *boundedAt) ReadAt(p []byte, at int64) (int, error) {
	if b.left <= 0 {
		return 0, b.over()
	}
	n, err := b.from.ReadAt(p, at)
	b.left -= int64(n)
	return n, err
}
