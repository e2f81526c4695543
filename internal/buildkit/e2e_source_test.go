//go:build e2e

package buildkit_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
)

// copied lists what COPY . /src brought into an image.
func copied(t *testing.T, files map[string]string, keepGit bool) map[string]string {
	t.Helper()
	req := request(t, newRegistry(t, nil), files)
	req.KeepGit = keepGit
	if _, custom := files["docker/Dockerfile"]; custom {
		req.Dockerfile = "docker/Dockerfile"
	}
	image, _ := mustBuild(t, req)
	found := map[string]string{}
	for name, content := range filesOf(t, pull(t, image, asTestUser())) {
		found[strings.TrimPrefix(name, "src/")] = content
	}
	return found
}

func TestTheContextHoldsNothingThatIsIgnored(t *testing.T) {
	t.Parallel()
	const dockerfile = "FROM scratch\nCOPY . /src\n"
	tree := map[string]string{
		"Dockerfile": dockerfile, "main.go": "m", "secret.env": "s", "docs/a.md": "a", "docs/keep.md": "k", "deep/er/secret.env": "s",
		"node_modules/x/index.js": "x", ".git/config": "[core]", "sub/.git": "gitdir: x", "link": "-> /etc/passwd", "#odd": "o",
	}
	for name, c := range map[string]struct {
		ignore  map[string]string
		keepGit bool
		want    string
	}{
		"no file": {nil, false, "#odd Dockerfile deep/er/secret.env docs/a.md docs/keep.md link main.go node_modules/x/index.js secret.env"},
		"comments, negations and depth": {
			map[string]string{".dockerignore": "# a comment\n\n**/*.env\n/node_modules/\ndocs/*\n!docs/keep.md\n\\#odd\n.dockerignore\n"},
			false, "Dockerfile docs/keep.md link main.go",
		},
		"everything but one": {map[string]string{".dockerignore": "*\n!main.go\n!.git\n"}, false, "main.go"},
		"the Dockerfile's own is preferred": {
			map[string]string{".dockerignore": "*\n", "Dockerfile.dockerignore": "*\n!docs/a.md\n"}, false, "docs/a.md",
		},
		"of a Dockerfile elsewhere": {
			map[string]string{"docker/Dockerfile": dockerfile, "docker/Dockerfile.dockerignore": "*\n!main.go\n", ".dockerignore": "main.go"}, false, "main.go",
		},
		"git where it is wanted":     {map[string]string{".dockerignore": "*\n!.git\n!sub\n"}, true, ".git/config sub/.git"},
		"git that is ignored anyway": {map[string]string{".dockerignore": "*\n!main.go\n"}, true, "main.go"},
		"a line that means nothing":  {map[string]string{".dockerignore": "../..\n*\n!main.go\n"}, false, "main.go"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := maps.Clone(tree)
			maps.Copy(files, c.ignore)
			got := copied(t, files, c.keepGit)
			if diff := cmp.Diff(strings.Fields(c.want), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Error(diff)
			}
			if target, ok := got["link"]; ok && target != "-> /etc/passwd" {
				t.Errorf("the link out of the tree is %q: it must stay a link", target)
			}
		})
	}
}

func TestALinkThatLeavesTheTreeBringsNothing(t *testing.T) {
	t.Parallel()
	req := request(t, newRegistry(t, nil), map[string]string{
		"Dockerfile": "FROM scratch\nCOPY out/hostname /stolen\n", "out": "-> /etc",
	})
	_, err := daemon(t).Build(t.Context(), req, newRecorder())
	checkFailure(t, err, tasks.ReasonSourceInvalid, `"out", which the Dockerfile copies, leaves the source`)
}

// TestTheUmaskDoesNotChangeTheImage builds one tree as two umasks leave it.
func TestTheUmaskDoesNotChangeTheImage(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	digests := map[string]bool{}
	for _, umask := range []os.FileMode{0o022, 0o077, 0o002} {
		req := request(t, registry, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY . /src\n", "app/run.sh": "#!/bin/sh\n", "app/text": "umask test",
		})
		modes := map[string]os.FileMode{"Dockerfile": 0o666, "app": 0o777, "app/run.sh": 0o777, "app/text": 0o666}
		for name, mode := range modes {
			if err := os.Chmod(filepath.Join(req.Dir, name), mode&^umask); err != nil {
				t.Fatal(err)
			}
		}
		image, _ := mustBuild(t, req)
		digests[image.Digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("the digests are %v, want one", slices.Collect(maps.Keys(digests)))
	}
}

// TestManyFiles sends 20,000 files and then the same ones with one change: the
// second time, almost none of them travels.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	files := map[string]string{"Dockerfile": "FROM scratch\nCOPY . /src\n", ".dockerignore": "node_modules\n"}
	for i := range 10_000 {
		files[fmt.Sprintf("src/d%d/f%d", i%100, i)] = fmt.Sprint(i)
		files[fmt.Sprintf("node_modules/d%d/f%d", i%100, i)] = fmt.Sprint(i)
	}
	req := request(t, registry, files)
	for _, what := range []string{"first", "with one change"} {
		if err := os.WriteFile(filepath.Join(req.Dir, "src", "changed"), []byte(what), 0o644); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		image, _ := mustBuild(t, req)
		t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
		got := filesOf(t, pull(t, image, asTestUser()))
		if len(got) != 10_003 || got["src/src/changed"] != what {
			t.Errorf("%s: the image has %d files, and %q", what, len(got), got["src/src/changed"])
		}
	}
}
