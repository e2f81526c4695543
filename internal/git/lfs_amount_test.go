package git_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Pointers that say less than their object has would fill the disk past the
// limit: what is counted before the download are their sizes.
func TestLFSPointersCannotSayLessThanTheirObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	pointer := w.server.PutLFS(strings.Repeat("2", 600_000))
	files := map[string]string{".gitattributes": attributes, "0.bin": pointer}
	for i := range 50 {
		files[fmt.Sprintf("more/%d.bin", i)] = strings.Replace(pointer, "size 600000", "size 1", 1)
	}
	w.put("acme/api", plain(files))
	_, err := w.clone(git.Options{MaxBytes: 4 << 20}, source(planted))
	w.wantFailure(err, tasks.ReasonGitRejected, "LFS: the pointers 0.bin and more/0.bin give one object two sizes")
}

func TestAFilesNameDoesNotDecideWhoseFaultItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.put("acme/api", plain(map[string]string{"timed out " + strings.Repeat("x", 260): "a"}))
	_, err := w.clone(git.Options{}, source(planted))
	w.wantFailure(err, tasks.ReasonSourceInvalid, "cannot be written to disk")
}
