package worker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestAWorkDirectoryOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory of another user's")
	}
	const stranger = 12345
	parent, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{parent, link} {
		if err := os.Lchown(path, stranger, stranger); err != nil {
			t.Fatal(err)
		}
		space, err := worker.OpenWorkspace(path)
		if err == nil {
			t.Errorf("%s was taken", path)
			_ = space.Close()
		} else if !strings.Contains(err.Error(), "belongs to user 12345") {
			t.Errorf("error = %v, want whose it is", err)
		}
	}
}
