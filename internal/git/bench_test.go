package git_test

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

// BenchmarkClone compares the client with the same clone by hand.
func BenchmarkClone(b *testing.B) {
	server, err := gittest.NewServer(b.TempDir())
	if err != nil {
		b.Skip(err)
	}
	if err := server.Create(b.Context(), "acme/api"); err != nil {
		b.Fatal(err)
	}
	if _, err := server.Commit(b.Context(), "acme/api", plain(nil)); err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(server)
	b.Cleanup(web.Close)
	client, err := git.New(git.Options{GitHubURL: web.URL})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("client", func(b *testing.B) {
		dir := b.TempDir()
		for i := 0; b.Loop(); i++ {
			if _, err := client.Clone(b.Context(), source(""), filepath.Join(dir, strconv.Itoa(i)), &reporter{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by hand", func(b *testing.B) {
		dir := b.TempDir()
		for i := 0; b.Loop(); i++ {
			args := []string{"clone", "--quiet", "--depth=1", "--branch=main", web.URL + "/acme/api.git", filepath.Join(dir, strconv.Itoa(i))}
			if out, err := exec.CommandContext(b.Context(), "git", args...).CombinedOutput(); err != nil {
				b.Fatalf("git clone: %v: %s", err, out)
			}
		}
	})
}
