package upload_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
)

// FuzzUnpack unpacks anything: it ends well or with a source_… reason, and what
// it wrote lies inside its limits, with no link that leads out.
func FuzzUnpack(f *testing.F) {
	items := []item{file("app/Dockerfile", "FROM scratch"), symlink("app/link", "Dockerfile"), program("app/run", "#!")}
	f.Add(tarOf(f, items...))
	f.Add(gzipped(f, tarOf(f, items...)))
	f.Add(zipOf(f, items...))
	f.Add(sparse(1 << 20))
	f.Add(pax("size=-1", "f", "00000000001\x00"))
	f.Add(rawZip{name: "f", data: []byte("hello"), size: 5, compressed: 5, entries: 2, counted: -1}.bytes())
	const most = 20
	c := newClient(f, upload.Options{MaxFiles: most, MaxBytes: 1 << 20, MaxDepth: 8, MaxPath: 300})
	f.Fuzz(func(t *testing.T, given []byte) {
		work := t.TempDir()
		archive, dir := filepath.Join(work, "archive"), filepath.Join(work, "source")
		if err := os.WriteFile(archive, given, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Extract(t.Context(), archive, dir); err != nil {
			wantSourceReason(t, err)
		}
		wantInside(t, dir, most)
		if left, _ := os.ReadDir(work); len(left) != 2 {
			t.Errorf("there are %d things in the work directory", len(left))
		}
	})
}

func wantSourceReason(t *testing.T, err error) {
	t.Helper()
	switch failure := tasks.AsFailure(err); failure.Reason {
	case tasks.ReasonSourceInvalid, tasks.ReasonSourceTooLarge:
		wantFailure(t, err, failure.Reason)
	default:
		t.Errorf("reason %s: %v", failure.Reason, err)
	}
}

func wantInside(t *testing.T, dir string, most int) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	count, size := 0, int64(0)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		count++
		name, _ := filepath.Rel(dir, path)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		if info.Mode().Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			t.Errorf("%q is a %s", name, info.Mode())
		}
		if _, err := root.Stat(name); err != nil && bytes.Contains([]byte(err.Error()), []byte("escapes")) {
			t.Errorf("%q leads out: %v", name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count > most || size > 2<<20 {
		t.Errorf("the tree has %d entries and %d bytes", count, size)
	}
}

// FuzzAddress asks for an archive anywhere: only hosts of the list are asked.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"https://files.test/a.zip?token=x", "https://FILES.test:443/", "http://plain.test:80/a", "http://files.test/a",
		"https://files.test@evil.test/", "https://files.test:8443/", "https://evil.test#files.test", "https://files.test\\@evil.test/", "//files.test/a",
	} {
		f.Add(seed)
	}
	c := newClient(f, upload.Options{Hosts: []string{"files.test"}, BackendURL: "http://plain.test/api"})
	allowed := map[string]bool{
		"https://files.test": true, "https://files.test:443": true, "https://files.test:": true,
		"http://plain.test": true, "http://plain.test:80": true, "http://plain.test:": true,
	}
	f.Fuzz(func(t *testing.T, address string) {
		where, err := c.Where(address)
		if err == nil && !allowed[strings.ToLower(where)] {
			t.Errorf("%q is asked at %s", address, where)
		}
	})
}
