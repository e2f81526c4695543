package buildkit_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
)

func TestDockerfileIsLookedUpInTheContextThenInTheRoot(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{
		"Dockerfile": "root", "app/Dockerfile": "app", "docker/web.Dockerfile": "web",
		"app/docker/api.Dockerfile": "api", "docker/api.Dockerfile": "root api",
		"current": "-> app", "linked": "-> docker/web.Dockerfile",
	})
	for name, tc := range map[string]struct{ context, dockerfile, want string }{
		"everything empty":                 {"", "", "Dockerfile"},
		"a dot as context":                 {".", "Dockerfile", "Dockerfile"},
		"context first":                    {"app", "Dockerfile", "app/Dockerfile"},
		"context first, in a directory":    {"app", "docker/api.Dockerfile", "app/docker/api.Dockerfile"},
		"else the root":                    {"app", "docker/web.Dockerfile", "docker/web.Dockerfile"},
		"leading slash is the root":        {"app", "/Dockerfile", "Dockerfile"},
		"leading slash of the context":     {"/app", "Dockerfile", "app/Dockerfile"},
		"upwards but inside":               {"app", "../docker/api.Dockerfile", "docker/api.Dockerfile"},
		"a link inside, as context":        {"current", "Dockerfile", "current/Dockerfile"},
		"a link inside, as the Dockerfile": {"", "linked", "linked"},
		"dots that go nowhere":             {"./app/../app", "./Dockerfile", "app/Dockerfile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := buildkit.FindSource(tasks.BuildRequest{Dir: dir, Context: tc.context, Dockerfile: tc.dockerfile})
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{
		"app/Dockerfile": "app", "services/api/docker/Dockerfile.prod": "api", "file": "text",
		"node_modules/x/Dockerfile": "not ours", "web/index.html": "hi",
		"out": "-> ..", "outFile": "-> ../outside", "absolute": "-> /etc/passwd", "loop": "-> loop",
		"dangling": "-> nowhere",
	})
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "outside"), []byte("FROM scratch"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		context, dockerfile string
		texts               []string
	}{
		"Dockerfile missing":           {"", "docker/Dockerfile", []string{`Dockerfile "docker/Dockerfile" not found; found app/Dockerfile, services/api/docker/Dockerfile.prod`}},
		"Dockerfile missing, nearest":  {"services/api", "Dockerfile", []string{`not found; found services/api/docker/Dockerfile.prod, app/Dockerfile`}},
		"Dockerfile is a directory":    {"", "web", []string{`Dockerfile "web" not found`}},
		"Dockerfile above":             {"", "../outside", []string{`Dockerfile "../outside" leaves the source`}},
		"Dockerfile above the context": {"app", "../../outside", []string{"leaves the source"}},
		"Dockerfile link out":          {"", "outFile", []string{`Dockerfile "outFile" leaves the source`}},
		"Dockerfile absolute link":     {"", "absolute", []string{`Dockerfile "absolute" leaves the source`}},
		"Dockerfile through a link":    {"", "out/outside", []string{"leaves the source"}},
		"Dockerfile through a file":    {"", "file/Dockerfile", []string{"not found"}},
		"Dockerfile loop":              {"", "loop", []string{`Dockerfile "loop" cannot be read`}},
		"Dockerfile dangling":          {"", "dangling", []string{"not found"}},
		"Dockerfile absolute path":     {"", "/etc/passwd", []string{`Dockerfile "/etc/passwd" not found`}},
		"Dockerfile with a NUL":        {"", "a\x00b", []string{"Dockerfile"}},
		"context missing":              {"api", "", []string{`root directory "api" not found; found services/api`}},
		"context missing, others":      {"frontend", "", []string{`root directory "frontend" not found; found app, services, web`}},
		"context is a file":            {"file", "", []string{`root directory "file" is a file`}},
		"context above":                {"..", "", []string{`root directory ".." leaves the source`}},
		"context above, disguised":     {"app/../../x", "", []string{"leaves the source"}},
		"context link out":             {"out", "", []string{`root directory "out" leaves the source`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := buildkit.FindSource(tasks.BuildRequest{Dir: dir, Context: tc.context, Dockerfile: tc.dockerfile})
			checkFailure(t, err, tasks.ReasonSourceInvalid, tc.texts...)
		})
	}
}

func TestASourceWithoutADockerfileSaysWhatCanBeDone(t *testing.T) {
	t.Parallel()
	_, err := buildkit.FindSource(tasks.BuildRequest{Dir: writeTree(t, map[string]string{"main.go": "package main"})})
	checkFailure(t, err, tasks.ReasonSourceInvalid, `Dockerfile "Dockerfile" not found: add one, or choose another builder`)
}

func TestGitIsSentWhereTheBuildWantsItAlone(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{
		"Dockerfile": "FROM scratch", ".dockerignore": "!.git\n", ".gitignore": "x", ".github/ci": "y",
		".git/config": "token", "sub/.git": "gitdir: elsewhere", "sub/code": "z", "link": "-> /etc/passwd",
	})
	without := []string{".dockerignore", ".github", ".github/ci", ".gitignore", "Dockerfile", "link", "sub", "sub/code"}
	for keep, want := range map[bool][]string{
		false: without,
		true:  append([]string{".git", ".git/config", "sub/.git"}, without...),
	} {
		got, err := buildkit.WalkContext(t.Context(), tasks.BuildRequest{Dir: dir, KeepGit: keep})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("KeepGit %v: %s", keep, diff)
		}
	}
}

func TestModesOfTheMachineAreNotSent(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"Dockerfile": "FROM scratch", "dir/run": "#!/bin/sh", "link": "-> dir/run"})
	for name, mode := range map[string]os.FileMode{
		"Dockerfile": 0o600, "dir/run": 0o700 | os.ModeSetuid, "dir": 0o700 | os.ModeSetgid,
	} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	got, err := buildkit.WalkContext(t.Context(), tasks.BuildRequest{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]os.FileMode{
		"Dockerfile": 0o644, "dir": os.ModeDir | 0o755, "dir/run": 0o755, "link": os.ModeSymlink | 0o777,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkContext walks a tree of 50,000 files as a build does.
func BenchmarkContext(b *testing.B) {
	files := map[string]string{"Dockerfile": "FROM scratch"}
	for i := range 50_000 {
		files[fmt.Sprintf("node_modules/package-%d/lib/file-%d.js", i%1000, i)] = "module.exports = {}"
	}
	req := tasks.BuildRequest{Dir: writeTree(b, files)}
	for b.Loop() {
		if _, err := buildkit.WalkContext(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
