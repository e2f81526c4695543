package upload

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
)

// result is what an extraction made of an archive.
type result struct {
	format string
	// top is the only directory of the archive, whose inside is the source;
	// empty where the archive itself is.
	top     string
	files   int
	skipped int
	bytes   int64
}

// extract makes the directory dir and puts the archive's tree into it.
func (c *Client) extract(ctx context.Context, archive *os.File, dir string, paths []string) (result, error) {
	info, err := archive.Stat()
	if err != nil {
		return result{}, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return result{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = root.Close() }()
	t := newTree(root, c.options, info.Size())
	format, err := t.read(ctx, archive, info.Size())
	if err != nil {
		return result{}, err
	}
	top, err := t.finish(paths)
	return result{format: format, top: top, files: t.files, skipped: t.skipped, bytes: t.bytes}, err
}

// read unpacks an archive of any accepted format and names the format.
func (t *tree) read(ctx context.Context, archive io.ReaderAt, size int64) (string, error) {
	whole := io.NewSectionReader(archive, 0, size)
	head := make([]byte, blockSize)
	n, err := io.ReadFull(whole, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	if _, err := whole.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return "zip archive", t.readZip(ctx, archive, size)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "tar.gz archive", t.readGzip(ctx, whole)
	case isTar(head):
		return "tar archive", t.readPlainTar(ctx, whole)
	}
	return "", invalid("it is %s; a tar.gz, tar or zip archive is expected", kindOf(head))
}

// readGzip unpacks a gzipped tar, and reads it to its end: the checksum stands there.
func (t *tree) readGzip(ctx context.Context, from io.Reader) error {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return err
	}
	stream := bufio.NewReaderSize(&bounded{from: unzipped, left: t.streamBytes(), over: t.tooMany}, 64<<10)
	head, err := stream.Peek(blockSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !isTar(head) {
		return invalid("it is a gzip file with no tar inside; a tar.gz, tar or zip archive is expected")
	}
	if err := t.readTar(ctx, stream); err != nil {
		return err
	}
	// What follows a tar's end may be anything, but not a broken checksum.
	if err := t.drain(ctx, stream); err != nil && !errors.Is(err, gzip.ErrHeader) {
		return err
	}
	return nil
}

// readPlainTar unpacks a tar whose end nothing but the tar itself marks.
func (t *tree) readPlainTar(ctx context.Context, whole *io.SectionReader) error {
	last := make([]byte, blockSize)
	if _, err := whole.ReadAt(last, max(0, whole.Size()-blockSize)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(bytes.Trim(last, "\x00")) != 0 {
		return io.ErrUnexpectedEOF
	}
	return t.readTar(ctx, &bounded{from: whole, left: t.streamBytes(), over: t.tooMany})
}

// drain reads to the end.
func (t *tree) drain(ctx context.Context, from io.Reader) error {
	buffer := make([]byte, 64<<10)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		_, err := from.Read(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bounded is a stream that ends with an error after so many bytes.
type bounded struct {
	from io.Reader
	left int64
	over func() error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.over()
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// magics are formats that people upload and that are not accepted.
var magics = []struct{ begins, name string }{
	{"BZh", "a bzip2 file"},
	{"\xfd7zXZ\x00", "an xz file"},
	{"\x28\xb5\x2f\xfd", "a zstd file"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{"Rar!", "a rar archive"},
	{"<", "a page of HTML or XML"},
	{"{", "JSON"},
}

// kindOf says what a file that is no archive may be.
func kindOf(head []byte) string {
	if len(head) == 0 {
		return "empty"
	}
	text := strings.TrimLeft(string(head), " \t\r\n\ufeff")
	for _, magic := range magics {
		if strings.HasPrefix(text, magic.begins) {
			return magic.name
		}
	}
	return "not an archive"
}

// finish makes the links, now that nothing is written any more, and returns the
// archive's only directory where there is one to be left out.
func (t *tree) finish(paths []string) (string, error) {
	if t.files == 0 {
		return "", invalid("its archive holds no files")
	}
	top := t.onlyDirectory()
	for _, wanted := range paths {
		first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+wanted), "/"), "/")
		if first == top {
			top = ""
		}
	}
	for _, l := range t.links {
		if err := l.check(top); err != nil {
			return "", err
		}
		if err := t.root.Symlink(l.target, l.name); err != nil {
			return "", err
		}
	}
	return top, nil
}
