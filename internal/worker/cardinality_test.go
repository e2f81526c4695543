package worker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// TestTenThousandAppsMakeNoNewSeries: what tenants name themselves never
// becomes a label.
func TestTenThousandAppsMakeNoNewSeries(t *testing.T) {
	t.Parallel()
	const batches, each = 100, 100
	registry := prometheus.NewRegistry()
	metrics := worker.NewMetrics(registry)
	space, err := worker.OpenWorkspace(dirInMemory(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	first := 0
	for batch := range batches {
		w := newWorld()
		var deliveries []*fakeDelivery
		for i := range each {
			task := deployTask(fmt.Sprintf("tenant-task-%d-%d", batch, i))
			task.Deploy.JobID = fmt.Sprintf("tenant-app-%d-%d", batch, i)
			deliveries = append(deliveries, &fakeDelivery{task: task})
		}
		run(t, w, halfFail, func(o *worker.Options) { o.Metrics, o.Workspace = metrics, space }, deliveries...)
		if len(w.terminal) != each {
			t.Fatalf("%d tasks have ended, want %d", len(w.terminal), each)
		}
		if batch == 0 {
			first = seriesOf(t, registry)
		}
	}
	if got := seriesOf(t, registry); got != first {
		t.Errorf("%d series after %d apps, %d after %d", got, batches*each, first, each)
	}
}

// dirInMemory is for tests that make very many directories.
func dirInMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dispatchd-test-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// halfFail names the app in a failure's message, and fails every other task.
func halfFail(_ context.Context, task tasks.Task, _ tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
	rep.Stage(tasks.StageWatch)
	if strings.HasSuffix(task.ID, "1") {
		return tasks.Result{}, tasks.Fail(tasks.ReasonUnhealthy, task.Deploy.JobID+" is not healthy", nil)
	}
	return tasks.Result{}, nil
}

// seriesOf counts the series, and fails where one names a tenant.
func seriesOf(t *testing.T, registry *prometheus.Registry) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, family := range families {
		count += len(family.GetMetric())
		if strings.Contains(family.String(), "tenant-") {
			t.Errorf("%s names a tenant", family.GetName())
		}
	}
	if count < 5 {
		t.Fatalf("%d series: the test looks at nothing", count)
	}
	return count
}

// TestAWorkDirectoryIsItsTasksAlone: nobody else on the machine reads a
// customer's source, and no two tasks share a directory.
func TestAWorkDirectoryIsItsTasksAlone(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "work")
	space, err := worker.OpenWorkspace(parent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	seen := map[string]bool{}
	look := func(_ context.Context, _ tasks.Task, at tasks.Attempt, _ tasks.Reporter) (tasks.Result, error) {
		for dir := at.Dir; strings.HasPrefix(dir, parent); dir = filepath.Dir(dir) {
			info, err := os.Stat(dir)
			if err != nil {
				return tasks.Result{}, err
			}
			if mode := info.Mode().Perm(); mode != 0o700 {
				t.Errorf("%s has the mode %o, want 700", dir, mode)
			}
		}
		seen[at.Dir] = true
		return tasks.Result{}, nil
	}
	run(t, newWorld(), look, func(o *worker.Options) { o.Workspace = space }, &fakeDelivery{task: deployTask("a")}, &fakeDelivery{task: deployTask("b")})
	if len(seen) != 2 {
		t.Errorf("two tasks had the directories %v", seen)
	}
}
