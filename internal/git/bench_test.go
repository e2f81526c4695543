package git_test

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

// BenchmarkClone takes turns between the client and the same clone by hand, so
// that both see the same machine, and reports the medians and their ratio.
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
	dir := b.TempDir()
	var ours, byHand []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if _, err := client.Clone(b.Context(), source(""), filepath.Join(dir, "c"+strconv.Itoa(i)), &reporter{}); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		args := []string{"clone", "--quiet", "--depth=1", "--branch=main", web.URL + "/acme/api.git", filepath.Join(dir, "h"+strconv.Itoa(i))}
		began = time.Now()
		if out, err := exec.CommandContext(b.Context(), "git", args...).CombinedOutput(); err != nil {
			b.Fatalf("git clone: %v: %s", err, out)
		}
		byHand = append(byHand, time.Since(began))
	}
	b.ReportMetric(median(ours), "ms/client")
	b.ReportMetric(median(byHand), "ms/by-hand")
	b.ReportMetric(median(ours)/median(byHand), "ratio")
}

// median returns the middle of the durations in milliseconds.
func median(durations []time.Duration) float64 {
	slices.Sort(durations)
	return float64(durations[len(durations)/2]) / float64(time.Millisecond)
}
