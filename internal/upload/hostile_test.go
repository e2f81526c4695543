package upload_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
)

// small are limits that a test reaches.
func small() upload.Options {
	return upload.Options{MaxFiles: 20, MaxBytes: 4 << 20, MaxDepth: 5, MaxPath: 200, MaxDownloadBytes: 8 << 20}
}

// TestHostileEntries holds every entry that is refused, as a tar, a tar.gz and a zip.
func TestHostileEntries(t *testing.T) {
	t.Parallel()
	ok := file("Dockerfile", "FROM scratch")
	for name, c := range map[string]struct {
		items  []item
		reason tasks.Reason
		text   string
	}{
		"upwards":                        {[]item{ok, file("../evil", "x")}, tasks.ReasonSourceInvalid, `"../evil" in its archive leaves`},
		"upwards later":                  {[]item{ok, file("a/b/../../../evil", "x")}, tasks.ReasonSourceInvalid, "leaves"},
		"upwards but inside":             {[]item{ok, file("a/../evil", "x")}, tasks.ReasonSourceInvalid, "leaves"},
		"upwards, a directory":           {[]item{ok, folder("../evil/")}, tasks.ReasonSourceInvalid, "leaves"},
		"absolute":                       {[]item{ok, file("/etc/cron.d/evil", "x")}, tasks.ReasonSourceInvalid, "absolute path"},
		"backslashes":                    {[]item{ok, file(`..\evil`, "x")}, tasks.ReasonSourceInvalid, "backslash"},
		"a new line":                     {[]item{ok, file("a\nb", "x")}, tasks.ReasonSourceInvalid, "control characters"},
		"an escape":                      {[]item{ok, file("a\x1b[2Jb", "x")}, tasks.ReasonSourceInvalid, "control characters"},
		"not UTF-8":                      {[]item{ok, file("a\xffb", "x")}, tasks.ReasonSourceInvalid, "UTF-8"},
		"twice":                          {[]item{ok, ok}, tasks.ReasonSourceInvalid, `"Dockerfile" is in its archive twice`},
		"twice, written in two ways":     {[]item{ok, file("./Dockerfile", "y")}, tasks.ReasonSourceInvalid, "twice"},
		"case alone":                     {[]item{ok, file("DOCKERFILE", "x")}, tasks.ReasonSourceInvalid, `"Dockerfile" and "DOCKERFILE" in its archive differ in case`},
		"case alone, of a directory":     {[]item{file("Docs/a", ""), file("docs/b", "")}, tasks.ReasonSourceInvalid, "differ in case"},
		"a file and a directory":         {[]item{file("a", ""), file("a/b", "")}, tasks.ReasonSourceInvalid, `"a" is in its archive twice`},
		"a directory and a file":         {[]item{file("a/b", ""), file("a", "")}, tasks.ReasonSourceInvalid, `"a" is in its archive twice`},
		"link, then a file through it":   {[]item{ok, symlink("a", "b"), file("a/evil", "x")}, tasks.ReasonSourceInvalid, "twice"},
		"link, then a file in its place": {[]item{ok, symlink("a", "b"), file("a", "x")}, tasks.ReasonSourceInvalid, "twice"},
		"file through a link of case":    {[]item{ok, symlink("a", "b"), file("A/evil", "x")}, tasks.ReasonSourceInvalid, "differ in case"},
		"link out":                       {[]item{ok, symlink("a", "../evil")}, tasks.ReasonSourceInvalid, `"a" in its archive is a link to "../evil", outside`},
		"link out, deeper":               {[]item{ok, symlink("a/b/c", "../../../evil")}, tasks.ReasonSourceInvalid, "outside of the source"},
		"link out of the only directory": {[]item{file("app/Dockerfile", ""), symlink("app/a", "../evil")}, tasks.ReasonSourceInvalid, "outside of the source"},
		"absolute link":                  {[]item{ok, symlink("a", "/etc/passwd")}, tasks.ReasonSourceInvalid, `a link to "/etc/passwd", which is not a plain relative path`},
		"link that goes down and up":     {[]item{ok, symlink("d/e/up", "../.."), symlink("a", "d/e/up/../../evil")}, tasks.ReasonSourceInvalid, "not a plain relative path"},
		"link to nothing":                {[]item{ok, symlink("a", ".//")}, tasks.ReasonSourceInvalid, "not a plain relative path"},
		"long link":                      {[]item{ok, symlink("a", strings.Repeat("a/", 800)+"b")}, tasks.ReasonSourceInvalid, "too long"},
		"pipe":                           {[]item{ok, special("pipe", tar.TypeFifo)}, tasks.ReasonSourceInvalid, `"pipe" in its archive is a device or a pipe`},
		"device":                         {[]item{ok, special("null", tar.TypeChar)}, tasks.ReasonSourceInvalid, "is a device or a pipe"},
		"long name":                      {[]item{ok, file(strings.Repeat("n", 190)+"/"+strings.Repeat("m", 20), "")}, tasks.ReasonSourceTooLarge, "more than 200 bytes"},
		"deep":                           {[]item{ok, file("1/2/3/4/5/6", "")}, tasks.ReasonSourceTooLarge, "more than 5 directories deep"},
		"many":                           {many(25), tasks.ReasonSourceTooLarge, "more than 20 files and directories"},
		"many directories of few files":  {[]item{file("1/2/3/4/a", ""), file("5/6/7/8/a", ""), file("9/a/b/c/a", ""), file("d/e/f/g/h", ""), file("i/a", "")}, tasks.ReasonSourceTooLarge, "more than 20"},
		"many that are left out":         {append(many(10), repeated(file(".git/x", ""), 15)...), tasks.ReasonSourceTooLarge, "more than 20"},
		"nothing":                        {nil, tasks.ReasonSourceInvalid, "holds no files"},
		"only directories":               {[]item{folder("a"), folder("b")}, tasks.ReasonSourceInvalid, "holds no files"},
		"only what is left out":          {[]item{file(".git/HEAD", "x")}, tasks.ReasonSourceInvalid, "holds no files"},
	} {
		for format, make := range map[string]func(testing.TB, ...item) []byte{
			"tar": tarOf, "zip": zipOf,
			"tar.gz": func(t testing.TB, items ...item) []byte { return gzipped(t, tarOf(t, items...)) },
		} {
			t.Run(name+"/"+format, func(t *testing.T) {
				t.Parallel()
				_, _, err := unpack(t, holding(t, make(t, c.items...)), small())
				wantFailure(t, err, c.reason, "upload u-1: ", c.text)
			})
		}
	}
}

func many(n int) []item {
	items := []item{}
	for i := range n {
		items = append(items, file(fmt.Sprintf("f%d", i), ""))
	}
	return items
}

func repeated(i item, n int) []item {
	items := []item{}
	for range n {
		items = append(items, i)
	}
	return items
}

func TestLinksThatStayInsideAreMade(t *testing.T) {
	t.Parallel()
	items := []item{
		file("Dockerfile", "x"), file("lib/a", "a"), symlink("lib/up", ".."), symlink("lib/self", "."), symlink("here", "./lib/a"),
		symlink("slash", "lib/"), symlink("over", "lib/up/Dockerfile"), symlink("loop", "loop"),
	}
	dir, _, err := unpack(t, holding(t, tarOf(t, items...)), small())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for _, link := range []string{"lib/up", "lib/self", "here", "slash", "over"} {
		if _, err := root.Stat(link); err != nil {
			t.Errorf("%s: %v", link, err)
		}
	}
}

// TestDamagedArchives holds what is no archive, or not what it says.
func TestDamagedArchives(t *testing.T) {
	t.Parallel()
	good := tarOf(t, file("Dockerfile", "FROM scratch"), file("text", noise(5000)))
	zipped := zipOf(t, file("Dockerfile", "FROM scratch"), file("text", noise(5000)))
	flipped := gzipped(t, good)
	flipped[len(flipped)-5] ^= 1 // a byte of the checksum
	broken := bytes.Clone(zipped)
	broken[200] ^= 0xff
	sum := crc32.ChecksumIEEE([]byte("hello"))
	for name, c := range map[string]struct {
		archive []byte
		reason  tasks.Reason
		text    string
	}{
		"empty":                    {nil, tasks.ReasonSourceInvalid, "it is empty"},
		"text":                     {[]byte("hello"), tasks.ReasonSourceInvalid, "it is not an archive; a tar.gz, tar or zip archive is expected"},
		"a page":                   {[]byte("\n<html>log in"), tasks.ReasonSourceInvalid, "a page of HTML"},
		"an error as JSON":         {[]byte(`{"error":"gone"}`), tasks.ReasonSourceInvalid, "JSON"},
		"bzip2":                    {[]byte("BZh91AY&SY"), tasks.ReasonSourceInvalid, "a bzip2 file"},
		"xz":                       {[]byte("\xfd7zXZ\x00\x00"), tasks.ReasonSourceInvalid, "an xz file"},
		"zstd":                     {[]byte("\x28\xb5\x2f\xfd\x00"), tasks.ReasonSourceInvalid, "a zstd file"},
		"gzip of text":             {gzipped(t, []byte(noise(2000))), tasks.ReasonSourceInvalid, "no tar inside"},
		"gzip of little":           {gzipped(t, []byte("hello")), tasks.ReasonSourceInvalid, "no tar inside"},
		"gzip of gzip":             {gzipped(t, gzipped(t, good)), tasks.ReasonSourceInvalid, "no tar inside"},
		"gzip's head alone":        {[]byte("\x1f\x8b\x08"), tasks.ReasonSourceInvalid, "cut off"},
		"tar cut off":              {good[:len(good)-2048], tasks.ReasonSourceInvalid, "cut off"},
		"tar cut off at an entry":  {good[:1024], tasks.ReasonSourceInvalid, "cut off"},
		"tar cut off in a file":    {good[:1600], tasks.ReasonSourceInvalid, "cut off"},
		"tar.gz cut off":           {gzipped(t, good)[:900], tasks.ReasonSourceInvalid, "cut off"},
		"tar.gz without its end":   {gzipped(t, good)[:len(gzipped(t, good))-4], tasks.ReasonSourceInvalid, "cut off"},
		"tar.gz, checksum":         {flipped, tasks.ReasonSourceInvalid, "damaged"},
		"tar with a broken header": {append(append(bytes.Clone(good[:1024]), []byte(strings.Repeat("garbage!", 64))...), make([]byte, 1024)...), tasks.ReasonSourceInvalid, "damaged"},
		"tar's size is negative":   {append(rawTarHeader("f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", '0'), make([]byte, 1024)...), tasks.ReasonSourceInvalid, "damaged"},
		"tar's size is a lie":      {append(rawTarHeader("f", "00000200000\x00", '0'), make([]byte, 1024)...), tasks.ReasonSourceInvalid, "cut off"},
		"tar's size is huge":       {append(rawTarHeader("f", "77777777777\x00", '0'), make([]byte, 1024)...), tasks.ReasonSourceTooLarge, "unpacks to more than"},
		"PAX size is a lie":        {pax("size=100000", "f", "00000000001\x00"), tasks.ReasonSourceInvalid, "cut off"},
		"PAX size is huge":         {pax("size=99999999999", "f", "00000000001\x00"), tasks.ReasonSourceTooLarge, "unpacks to more than"},
		"PAX size is negative":     {pax("size=-5", "f", "00000000001\x00"), tasks.ReasonSourceInvalid, "damaged"},
		"PAX path with a NUL":      {pax("path=a\x00b", "f", "00000000001\x00"), tasks.ReasonSourceInvalid, ""},
		"PAX path upwards":         {pax("path=../../evil", "f", "00000000000\x00"), tasks.ReasonSourceInvalid, "leaves the archive"},
		"hard link":                {tarOf(t, file("a", "x"), special("b", tar.TypeLink)), tasks.ReasonSourceInvalid, `"b" in its archive is a hard link`},
		"contiguous file":          {append(rawTarHeader("f", "00000000000\x00", '7'), make([]byte, 1024)...), tasks.ReasonSourceInvalid, "of a kind that is not accepted"},
		"sparse tar":               {sparse(1 << 50), tasks.ReasonSourceTooLarge, "unpacks to more than"},
		"zip cut off":              {zipped[:len(zipped)-30], tasks.ReasonSourceInvalid, "damaged or cut off"},
		"zip's head alone":         {zipped[:20], tasks.ReasonSourceInvalid, "damaged or cut off"},
		"zip, content":             {broken, tasks.ReasonSourceInvalid, "damaged or cut off"},
		"zip that is empty":        {zipOf(t), tasks.ReasonSourceInvalid, "holds no files"},
		"zip encrypted":            {rawZip{name: "f", data: []byte("hello"), flags: 1, size: 5, compressed: 5, crc: sum, entries: 1, counted: -1}.bytes(), tasks.ReasonSourceInvalid, `"f" in its archive is encrypted`},
		"zip of another method":    {rawZip{name: "f", data: []byte("hello"), method: 12, size: 5, compressed: 5, crc: sum, entries: 1, counted: -1}.bytes(), tasks.ReasonSourceInvalid, "method 12"},
		"zip says too little":      {rawZip{name: "f", data: deflated(t, strings.Repeat("a", 9000)), method: 8, size: 5, compressed: 9000, crc: sum, entries: 1, counted: -1}.bytes(), tasks.ReasonSourceInvalid, ""},
		"zip says too much":        {rawZip{name: "f", data: []byte("hello"), size: 50, compressed: 5, crc: sum, entries: 1, counted: -1}.bytes(), tasks.ReasonSourceInvalid, "damaged or cut off"},
		"zip says far too much":    {rawZip{name: "f", data: []byte("hello"), size: math.MaxUint32 - 1, compressed: 5, crc: sum, entries: 1, counted: -1}.bytes(), tasks.ReasonSourceTooLarge, "unpacks to more than"},
		"zip's checksum is a lie":  {rawZip{name: "f", data: []byte("hello"), size: 5, compressed: 5, crc: 1, entries: 1, counted: -1}.bytes(), tasks.ReasonSourceInvalid, "damaged or cut off"},
		"zip counts too few":       {rawZip{name: "f", entries: 30, counted: 1}.bytes(), tasks.ReasonSourceInvalid, "damaged or cut off"},
		"zip of overlaps":          {rawZip{name: "f", data: deflated(t, strings.Repeat("\x00", 1<<20)), method: 8, size: 1 << 20, compressed: 1053, crc: crc32.ChecksumIEEE(make([]byte, 1<<20)), entries: 15, counted: -1}.bytes(), tasks.ReasonSourceTooLarge, "unpacks to more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, holding(t, c.archive), small())
			wantFailure(t, err, c.reason, "upload u-1: ", c.text)
		})
	}
}

// TestBombsStopAtTheirLimit unpacks what would fill a disk, or the memory.
// It is not parallel, so that the memory it counts is its own.
func TestBombsStopAtTheirLimit(t *testing.T) {
	liar := rawZip{name: "f", data: deflatedZeros(t, 4<<10), method: 8, size: 5, entries: 1, counted: -1}
	liar.compressed = uint64(len(liar.data))
	for name, c := range map[string]struct {
		archive []byte
		options upload.Options
		reason  tasks.Reason
		text    string
	}{
		"a gigabyte of zeros":        {bomb(t, 1<<10), upload.Options{}, tasks.ReasonSourceTooLarge, "more than 100 times its size"},
		"more than the ratio allows": {bomb(t, 64), upload.Options{MaxRatio: 10_000, MaxBytes: 8 << 20}, tasks.ReasonSourceTooLarge, "unpacks to more than 8 MiB"},
		"a directory of zip entries": {
			rawZip{name: "f", entries: 60_000, counted: 1}.bytes(), upload.Options{MaxFiles: 1000}, tasks.ReasonSourceTooLarge, "more than 1000 files",
		},
		"a zip that says 5 bytes": {liar.bytes(), upload.Options{}, tasks.ReasonSourceInvalid, "damaged or cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			h := holding(t, c.archive)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, _, err := unpack(t, h, c.options)
			runtime.ReadMemStats(&after)
			wantFailure(t, err, c.reason, c.text)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("it took %d MiB of memory", grown>>20)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestZip64IsRead(t *testing.T) {
	t.Parallel()
	// More entries than a directory of the old kind can count.
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for range 66_000 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: "d/"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Create("d/f"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir, _, err := unpack(t, holding(t, out.Bytes()), upload.Options{MaxFiles: 70_000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
		t.Error(err)
	}
	_, _, err = unpack(t, holding(t, out.Bytes()), upload.Options{})
	wantFailure(t, err, tasks.ReasonSourceTooLarge, "more than 50000 files")
}
