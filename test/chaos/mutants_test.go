package chaos_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMutantsFitTheTree keeps the patches of `make chaos-mutants`, which takes
// long, from growing old unnoticed.
func TestMutantsFitTheTree(t *testing.T) {
	t.Parallel()
	patches, err := filepath.Glob("testdata/mutants/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("found %d patches, %v", len(patches), err)
	}
	for _, patch := range patches {
		path, err := filepath.Abs(patch)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "git", "apply", "--check", path)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", patch, err, out)
		}
	}
}
