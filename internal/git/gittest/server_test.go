package gittest_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

func newServer(t *testing.T) *gittest.Server {
	t.Helper()
	s, err := gittest.NewServer(t.TempDir())
	if err != nil {
		t.Skipf("needs git: %v", err)
	}
	if err := s.Create(t.Context(), "acme/api"); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecondCommitReplacesTheTree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	files, err := gittest.ReadFiles(fstest.MapFS{"run.sh": {Data: []byte("#!/bin/sh\n")}, "a/b": {Data: []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Commit(t.Context(), "acme/api", gittest.Commit{Message: "one", Files: map[string]string{"gone": ""}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Commit(t.Context(), "acme/api", gittest.Commit{Message: "two", Files: files})
	if err != nil || second == first {
		t.Fatalf("second Commit = %s, %v, want another than %s", second, err, first)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	dir := filepath.Join(t.TempDir(), "clone")
	if out, err := exec.CommandContext(t.Context(), "git", "clone", web.URL+"/acme/api.git", dir).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	for name, mode := range map[string]os.FileMode{"run.sh": 0o100, "a/b": 0} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&0o100 != mode {
			t.Errorf("Stat(%s) = %v, %v, want the owner's x bit %o", name, info, err, mode)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "gone")); err == nil {
		t.Error("a file of the first commit is still there")
	}
}

func TestWhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	got := map[string]int{"public": status(s, "/acme/api.git/info/refs", "", "")}
	s.Allow("acme/api", "user", "token")
	s.Allow("acme/api", "other", "second")
	for name, login := range map[string][2]string{
		"anonymous": {}, "right": {"user", "token"}, "second": {"other", "second"}, "mixed": {"user", "second"},
	} {
		got[name] = status(s, "/acme/api.git/info/refs", login[0], login[1])
	}
	for name, path := range map[string]string{"unknown": "/acme/none.git/info/refs", "no repository": "/", "outside": "/../../etc.git/passwd"} {
		got[name] = status(s, path, "user", "token")
	}
	want := map[string]int{
		"public": 200, "anonymous": 401, "right": 200, "second": 200, "mixed": 401,
		"unknown": 404, "no repository": 404, "outside": 404,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status codes (-want +got):\n%s", diff)
	}
}

// status asks the server without a network.
func status(s *gittest.Server, path, user, token string) int {
	request := httptest.NewRequest(http.MethodGet, "http://git.example", nil)
	request.URL.Path, request.URL.RawQuery = path, "service=git-upload-pack"
	if user != "" {
		request.SetBasicAuth(user, token)
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, request)
	return recorder.Code
}
