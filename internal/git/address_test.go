package git_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// cloneAddress clones the world's repository by its URL.
func cloneAddress(t *testing.T, w *world, o git.Options, ref string, token tasks.Secret) (string, error) {
	t.Helper()
	c, err := git.New(o)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := c.CloneAddress(t.Context(), git.Address{URL: w.url + "/acme/api", Ref: ref, Token: token}, w.dir, w.log)
	left, _ := os.ReadDir(w.work)
	if err != nil && len(left) != 0 {
		t.Errorf("after %v, %s is left", err, left[0].Name())
	}
	if err == nil && (len(left) != 1 || exists(filepath.Join(w.dir, ".git"))) {
		t.Errorf("beside the files there is more: %v", left)
	}
	return commit, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestAnAddressIsClonedAtWhatItsRefNames(t *testing.T) {
	t.Parallel()
	prepared := newWorld(t, gittest.Commit{Message: "first", Files: map[string]string{"file": "first"}}, nil)
	first := prepared.commit
	if err := prepared.server.Tag(t.Context(), "acme/api", "v1", "main"); err != nil {
		t.Fatal(err)
	}
	prepared.put("acme/api", gittest.Commit{Message: "second", Files: map[string]string{"file": "second"}})
	prepared.put("acme/api", gittest.Commit{Branch: "next/big", Message: "third", Files: map[string]string{"file": "third"}})
	for name, c := range map[string]struct{ ref, want string }{
		"the default branch": {"", "second"}, "a branch": {"next/big", "third"}, "a tag": {"v1", "first"}, "a commit": {first, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := t.TempDir()
			w := &world{t: t, url: prepared.url, work: work, dir: filepath.Join(work, "pack"), log: &reporter{}}
			commit, err := cloneAddress(t, w, git.Options{}, c.ref, "")
			if err != nil {
				t.Fatal(err)
			}
			if content, err := os.ReadFile(filepath.Join(w.dir, "file")); err != nil || string(content) != c.want {
				t.Errorf("the file holds %q, %v, want %q", content, err, c.want)
			}
			if len(commit) != 40 || c.want == "first" && commit != first {
				t.Errorf("the commit is %q", commit)
			}
		})
	}
}

func TestAnAddressThatCannotBeClonedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ref    string
		token  tasks.Secret
		reason tasks.Reason
		text   string
	}{
		"no such branch": {"nowhere", planted, tasks.ReasonGitRefNotFound, "clone acme/api@nowhere: branch, tag or commit not found"},
		"no such commit": {strings.Repeat("1", 40), planted, tasks.ReasonGitRefNotFound, "branch, tag or commit not found"},
		"an option":      {"--upload-pack=touch x", planted, tasks.ReasonGitRejected, "must not begin with -"},
		"a refspec":      {"main:refs/heads/x", planted, tasks.ReasonGitRejected, "branch must not hold"},
		"a wrong token":  {"main", "another-token", tasks.ReasonGitAuth, "refused the token"},
		"no token":       {"main", "", tasks.ReasonGitAuth, "needs a token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, gittest.Commit{Message: "m", Files: map[string]string{"file": "x"}}, nil)
			w.server.Allow("acme/api", user, planted)
			_, err := cloneAddress(t, w, git.Options{}, c.ref, c.token)
			failure := tasks.AsFailure(err)
			if failure == nil || failure.Reason != c.reason || !strings.Contains(failure.Message, c.text) {
				t.Errorf("CloneAddress = %v, want %s with %q", err, c.reason, c.text)
			}
			if strings.Contains(w.log.String()+failure.Error(), planted) {
				t.Error("the token is shown")
			}
		})
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	c, err := git.New(git.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"", "ssh://git@h.test/a/b", "file:///etc/a/b", "https://user:pw@h.test/a/b", "https://h.test", "https://h.test/a", "https://h.test/a/../b", "https://h.test/a/-b", "ext::sh -c x"} {
		_, err := c.CloneAddress(t.Context(), git.Address{URL: url}, filepath.Join(t.TempDir(), "pack"), &reporter{})
		if failure := tasks.AsFailure(err); failure == nil || failure.Reason != tasks.ReasonGitRejected {
			t.Errorf("CloneAddress(%q) = %v, want it refused", url, err)
		}
	}
}

func TestAnAddressThatIsTooLargeOrCancelled(t *testing.T) {
	t.Parallel()
	big := gittest.Commit{Message: "m", Files: map[string]string{"file": strings.Repeat("0123456789abcdef", 1<<16)}}
	w := newWorld(t, big, nil)
	_, err := cloneAddress(t, w, git.Options{MaxBytes: 100_000}, "", "")
	if failure := tasks.AsFailure(err); failure == nil || failure.Reason != tasks.ReasonSourceTooLarge {
		t.Errorf("CloneAddress = %v, want it too large", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	silent := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel(tasks.ErrCancelled)
		<-r.Context().Done()
	}))
	c, err := git.New(git.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CloneAddress(ctx, git.Address{URL: silent.URL + "/acme/api"}, filepath.Join(t.TempDir(), "pack"), &reporter{})
	if !errors.Is(err, tasks.ErrCancelled) {
		t.Errorf("CloneAddress = %v, want the cause", err)
	}
}

func TestATokenOfAnAddressFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var got []string
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }))
	w := newWorld(t, gittest.Commit{Message: "m", Files: map[string]string{"file": "x"}}, func(http.Handler) http.Handler {
		return http.RedirectHandler(other.URL+"/acme/api.git/info/refs", http.StatusFound)
	})
	_, err := cloneAddress(t, w, git.Options{}, "", planted)
	if failure := tasks.AsFailure(err); failure == nil || failure.Reason != tasks.ReasonGitRejected {
		t.Errorf("CloneAddress = %v, want the redirect refused", err)
	}
	if len(got) != 0 {
		t.Errorf("the other host got %q", got)
	}
}

// A fork can put anything at refs/pull/1/head of the repository that it proposes
// a change to.
func TestAnAddressIsNotClonedAtWhatStrangersPropose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	for _, ref := range []string{"refs/pull/1/head", "pull/1/head", "merge-requests/1/head", "refs/remotes/x/y", "refs/keep-around/c0ffee", "tag", "+main"} {
		_, err := cloneAddress(t, w, git.Options{}, ref, "")
		wantFailure(t, err, tasks.ReasonGitRejected, "is no branch, tag or commit")
	}
	if _, err := cloneAddress(t, w, git.Options{}, "refs/heads/main", ""); err != nil {
		t.Error(err)
	}
}
