package git_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git"
)

// inTree runs git in a clone as a build would.
func inTree(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestHistoryIsThereWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	s := newSSH(t, w.server)
	if err := w.server.Tag(t.Context(), "acme/api", "v1.0", "main"); err != nil {
		t.Fatal(err)
	}
	lib := w.put("acme/lib", plain(map[string]string{"lib": ""}))
	w.server.Allow("acme/lib", user, planted)
	pointer := w.server.PutLFS("large")
	w.server.Allow("acme/api", "lfs", "once")
	if err := s.AnswerLFS(`{"href":"` + w.url + `/acme/api.git/info/lfs","header":{"Authorization":"Basic bGZzOm9uY2U="}}`); err != nil {
		t.Fatal(err)
	}
	c := withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": lib})
	c.Files["large.bin"], c.Files[".gitattributes"] = pointer, attributes
	commit := w.put("acme/api", c)
	for name, credential := range map[string]string{"token": planted, "deploy key": s.private} {
		t.Run(name, func(t *testing.T) {
			from, dir := source(credential), filepath.Join(t.TempDir(), "s")
			from.History = true
			got, err := w.client(git.Options{GitHubSSHURL: s.URL, KnownHosts: s.hosts}).Clone(t.Context(), from, dir, w.log)
			if err != nil || got.Commit != commit {
				t.Fatalf("Clone = %+v, %v, want commit %s", got, err, commit)
			}
			if got, want := inTree(t, dir, "describe", "--tags", "--dirty"), "v1.0-1-g"+commit[:7]; got != want {
				t.Errorf("git describe = %s, want %s", got, want)
			}
			if got := inTree(t, dir, "rev-list", "--count", "HEAD"); got != "2" {
				t.Errorf("the history has %s commits, want 2", got)
			}
			wantFiles(t, dir, map[string]string{"large.bin": "large", "lib/lib": ""})
			wantHarmless(t, filepath.Join(dir, ".git"))
			secrets := []string{planted, strings.Split(s.private, "\n")[2], "eC1hY2Nlc3MtdG9rZW46"}
			wantNoSecret(t, dir, secrets)
		})
	}
}

// wantHarmless checks that a .git holds nothing that runs and nothing that is
// not known to be harmless.
func wantHarmless(t *testing.T, gitDir string) {
	t.Helper()
	keys := strings.Fields(inTree(t, filepath.Dir(gitDir), "config", "--local", "--name-only", "--list"))
	slices.Sort(keys)
	want := []string{
		"branch.main.merge", "branch.main.remote", "core.bare", "core.filemode", "core.logallrefupdates",
		"core.repositoryformatversion", "remote.origin.fetch", "remote.origin.url",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("settings that stay (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(gitDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"HEAD", "config", "index", "objects", "packed-refs", "refs"}, names); diff != "" {
		t.Errorf("what .git holds (-want +got):\n%s", diff)
	}
}

func TestWithoutHistoryNothingOfGitStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", plain(map[string]string{"lib": ""}))
	w.put("acme/api", withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": lib}))
	if _, err := w.clone(git.Options{}, source("")); err != nil {
		t.Fatal(err)
	}
	for _, name := range tree(t, w.dir) {
		if filepath.Base(name) == ".git" {
			t.Errorf("%s is still there", name)
		}
	}
	wantOnly(t, w.work, "source")
}
