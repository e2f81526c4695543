package upload_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// item is one entry of an archive that a test makes.
type item struct {
	name, content string
	mode          int64
	kind          byte
	target        string
}

func file(name, content string) item {
	return item{name: name, content: content, mode: 0o644, kind: tar.TypeReg}
}
func folder(name string) item { return item{name: name, mode: 0o755, kind: tar.TypeDir} }
func symlink(name, target string) item {
	return item{name: name, target: target, mode: 0o777, kind: tar.TypeSymlink}
}

func special(name string, kind byte) item {
	return item{name: name, target: "other", mode: 0o644, kind: kind}
}

func program(name, content string) item {
	return item{name: name, content: content, mode: 0o6755, kind: tar.TypeReg}
}

// tarOf writes a tar.
func tarOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, i := range items {
		header := &tar.Header{Name: i.name, Mode: i.mode, Typeflag: i.kind, Linkname: i.target, Size: int64(len(i.content))}
		if i.kind == tar.TypeXGlobalHeader {
			header = &tar.Header{Typeflag: i.kind, PAXRecords: map[string]string{"comment": "a commit"}}
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// zipOf writes a zip with Unix modes.
func zipOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, i := range items {
		header := &zip.FileHeader{Name: i.name, Method: zip.Deflate}
		header.SetMode(zipMode(i))
		content := i.content
		if i.kind == tar.TypeSymlink {
			content = i.target
		}
		entry, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(entry, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipMode(i item) fs.FileMode {
	mode := fs.FileMode(i.mode & 0o777)
	if i.mode&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	switch i.kind {
	case tar.TypeDir:
		mode |= fs.ModeDir
	case tar.TypeSymlink:
		mode |= fs.ModeSymlink
	case tar.TypeChar:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case tar.TypeFifo:
		mode |= fs.ModeNamedPipe
	}
	return mode
}

// rawTarHeader writes one block that archive/tar would not write: any name,
// any size text.
func rawTarHeader(name, size string, kind byte) []byte {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x00")
	copy(block[124:], size)
	copy(block[136:], "00000000000\x00")
	block[156] = kind
	copy(block[257:], "ustar\x0000")
	copy(block[148:], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

// pax is a PAX header of one record before a file.
func pax(record, name, size string) []byte {
	text := fmt.Sprintf("%d %s\n", len(record)+4, record)
	if len(text) > 99 {
		text = fmt.Sprintf("%d %s\n", len(record)+5, record)
	}
	block := append(rawTarHeader("PaxHeaders/x", fmt.Sprintf("%011o\x00", len(text)), 'x'), text...)
	block = append(block, make([]byte, 512-len(text)%512)...)
	return append(append(block, rawTarHeader(name, size, '0')...), make([]byte, 2048)...)
}

// sparse is a GNU sparse file of that many bytes with no data at all.
func sparse(size int64) []byte {
	records := ""
	for _, r := range []string{
		"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=big", fmt.Sprintf("GNU.sparse.size=%d", size),
		"GNU.sparse.numblocks=1", fmt.Sprintf("GNU.sparse.map=%d,0", size),
	} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r)
	}
	block := append(rawTarHeader("PaxHeaders/x", fmt.Sprintf("%011o\x00", len(records)), 'x'), records...)
	block = append(block, make([]byte, 512-len(records)%512)...)
	return append(append(block, rawTarHeader("GNUSparseFile.0/big", "00000000000\x00", '0')...), make([]byte, 1024)...)
}

// bomb is a gzipped tar of one file of so many MiB of zeros: the same member
// again and again.
func bomb(t testing.TB, mebibytes int) []byte {
	t.Helper()
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: int64(mebibytes) << 20}); err != nil {
		t.Fatal(err)
	}
	out := gzipped(t, head.Bytes())
	out = append(out, bytes.Repeat(gzipped(t, make([]byte, 1<<20)), mebibytes)...)
	return append(out, gzipped(t, make([]byte, 1024))...)
}

// rawZip is a zip in which every entry says what it is told to say.
type rawZip struct {
	name       string
	data       []byte
	method     uint16
	flags      uint16
	size       uint64
	compressed uint64
	crc        uint32
	// entries is how many directory entries name the one file: a bomb of overlaps.
	entries int
	// counted is what the end says about their number; -1 is the truth.
	counted int
}

func (z rawZip) bytes() []byte {
	le := binary.LittleEndian
	local := le.AppendUint32(nil, 0x04034b50)
	fields := le.AppendUint16(nil, 20)
	fields = le.AppendUint16(fields, z.flags)
	fields = le.AppendUint16(fields, z.method)
	fields = le.AppendUint32(fields, 0)
	fields = le.AppendUint32(fields, z.crc)
	fields = le.AppendUint32(fields, uint32(z.compressed))
	fields = le.AppendUint32(fields, uint32(z.size))
	local = append(local, fields...)
	local = le.AppendUint16(local, uint16(len(z.name)))
	local = le.AppendUint16(local, 0)
	out := append(append(local, z.name...), z.data...)
	at := len(out)
	for i := range z.entries {
		name := z.name
		if i > 0 {
			name = fmt.Sprintf("%s%d", z.name, i)
		}
		out = le.AppendUint32(out, 0x02014b50)
		out = le.AppendUint16(out, 20)
		out = append(out, fields...)
		out = le.AppendUint16(out, uint16(len(name)))
		out = append(out, make([]byte, 16)...)
		out = append(out, name...)
	}
	count := z.entries
	if z.counted >= 0 {
		count = z.counted
	}
	length := len(out) - at
	out = le.AppendUint32(out, 0x06054b50)
	out = le.AppendUint32(out, 0)
	out = le.AppendUint16(out, uint16(count))
	out = le.AppendUint16(out, uint16(count))
	out = le.AppendUint32(out, uint32(length))
	out = le.AppendUint32(out, uint32(at))
	return le.AppendUint16(out, 0)
}

func deflated(t testing.TB, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// deflatedZeros is a stream of so many MiB of zeros: the same blocks again and again.
func deflatedZeros(t testing.TB, mebibytes int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return append(bytes.Repeat(out.Bytes(), mebibytes), deflated(t, "")...)
}

// noise is text that does not compress below a fifth of its size.
func noise(size int) string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < size {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, "%08x", x)
	}
	return b.String()[:size]
}
