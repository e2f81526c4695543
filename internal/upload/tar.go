package upload

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"strings"
)

// blockSize is a tar's unit.
const blockSize = 512

// isTar reports whether a first block is a tar's: it has the format's name, the
// right checksum (older tars), or only zeros (an empty tar).
func isTar(head []byte) bool {
	if len(head) < blockSize {
		return false
	}
	if string(head[257:262]) == "ustar" {
		return true
	}
	_, err := tar.NewReader(strings.NewReader(string(head))).Next()
	return err == nil || errors.Is(err, io.EOF)
}

// readTar unpacks a tar up to its end mark.
func (t *tree) readTar(ctx context.Context, from io.Reader) error {
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		// Paths are judged by add.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		e, err := tarEntry(header, archive)
		if err != nil {
			return err
		}
		if e == nil {
			err = t.count()
		} else {
			err = t.add(ctx, *e)
		}
		if err != nil {
			return err
		}
	}
}

// tarEntry returns what a header stands for; nothing where it is about the
// archive itself.
func tarEntry(header *tar.Header, content io.Reader) (*entry, error) {
	e := &entry{name: header.Name, size: header.Size, content: content, executable: header.Mode&0o111 != 0}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return e, nil
	case tar.TypeDir:
		e.kind = isDirectory
		return e, nil
	case tar.TypeSymlink:
		e.kind, e.target = isLink, header.Linkname
		return e, nil
	case tar.TypeXGlobalHeader:
		return nil, nil
	case tar.TypeLink:
		return nil, invalid("%q in its archive is a hard link; pack it with --hard-dereference", printable(header.Name))
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil, invalid("%q in its archive is a device or a pipe", printable(header.Name))
	}
	return nil, invalid("%q in its archive is of a kind that is not accepted (%q)", printable(header.Name), header.Typeflag)
}
