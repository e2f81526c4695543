package git_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestSubmodulesThatAreRefusedBeforeTheyAreFetched(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	var visits atomic.Int32
	stranger := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		http.NotFound(w, nil)
	}))
	w := newWorld(t, plain(nil), nil)
	host := strings.TrimPrefix(stranger.URL, "http://")
	for name, row := range map[string]struct{ url, words string }{
		"file URL":      {"file:///etc", "submodule a: its address begins with file://"},
		"ext":           {"ext::sh -c touch% " + canary, "holds what is not allowed"},
		"plain http":    {"http://" + host + "/a/b.git", "which gets no credential: it can be read over https alone"},
		"ssh elsewhere": {"ssh://git@" + host + "/a/b.git", "is at " + host + ", which gets no credential: without one"},
		"option":        {"ssh://-oProxyCommand=touch" + canary + "/x", "no valid host"},
	} {
		t.Run(name, func(t *testing.T) {
			w.put("acme/api", withModules(entry("good", "good", "../api")+entry("m", "a", row.url), map[string]string{"a": someCommit, "good": w.commit}))
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, tasks.ReasonGitRejected, row.words)
			if strings.Contains(w.log.String(), "\nsubmodule ") {
				t.Error("a submodule was fetched")
			}
		})
	}
	if _, err := os.Lstat(canary); err == nil || visits.Load() != 0 {
		t.Errorf("something was run or visited (%d times)", visits.Load())
	}
}

// listing is what git config says of one submodule.
func listing(path, url string) string {
	return "submodule.m.path\n" + path + "\x00submodule.m.url\n" + url + "\x00"
}

func TestSubmodulePolicy(t *testing.T) {
	t.Parallel()
	const secret, host, canary, base = "swordfish", "127.0.0.1:9", "/tmp/canary", "https://git.example/scm"
	c := newClient(t, base, git.Options{})
	for name, row := range map[string]struct{ path, url, words string }{
		"file URL":                 {"a", "file:///etc", "begins with file://"},
		"local path":               {"a", "/etc", "no https:// or ssh:// URL"},
		"path without a slash":     {"a", "etc", "no https:// or ssh:// URL"},
		"ext":                      {"a", "ext::sh -c touch% " + canary, "not allowed"},
		"ext without spaces":       {"a", "ext::touch", "no https:// or ssh:// URL"},
		"ext as a URL":             {"a", "ext://x/y", "begins with ext://"},
		"fd":                       {"a", "fd::17", "no https:// or ssh:// URL"},
		"git protocol":             {"a", "git://" + host + "/a/b", "begins with git://"},
		"git+ssh":                  {"a", "git+ssh://" + host + "/a/b", "begins with git+ssh://"},
		"plain http":               {"a", "http://" + host + "/a/b.git", "which gets no credential: it can be read over https alone"},
		"ssh elsewhere":            {"a", "ssh://git@" + host + "/a/b.git", "is at " + host + ", which gets no credential: without one"},
		"ssh elsewhere, short":     {"a", "git@other.example:a/b.git", "is at other.example, which gets no credential"},
		"option as ssh host":       {"a", "ssh://-oProxyCommand=touch" + canary + "/x", "no valid host"},
		"option as scp host":       {"a", "-oProxyCommand=touch:x/y", "holds what is not allowed"},
		"option in a path":         {"a", base + "/a/-oProxyCommand=x", "no valid path"},
		"password":                 {"a", "https://x:" + secret + "@other.example/a/b", "holds a password"},
		"query":                    {"a", base + "/a/b?x=1", "more than a host and a path"},
		"newline":                  {"a", base + "/a/b\nhost=evil", "holds what is not allowed"},
		"no host":                  {"a", "https:///a/b", "no valid host"},
		"wildcard host":            {"a", "https://*.example/a/b", "no valid host"},
		"relative, out of host":    {"a", "../../../../x", "leads out"},
		"relative, one segment":    {"a", "../../x", "names no"},
		"relative with an escape":  {"a", "../%2e%2e/x", "not allowed"},
		"no address":               {"a", "", "address is missing"},
		"path with a CR":           {"sub\r", "../lib", "path holds what is not allowed"},
		"path into .git":           {".git/modules/x", "../lib", "leads into .git"},
		"path into .GIT":           {"x/.GIT/hooks", "../lib", "leads into .git"},
		"path into git~1":          {"git~1/x", "../lib", "leads into .git"},
		"path out of the tree":     {"../x", "../lib", "path is not allowed"},
		"path around":              {"x/../y", "../lib", "path is not allowed"},
		"absolute path":            {"/etc/x", "../lib", "path is not allowed"},
		"path as an option":        {"-x", "../lib", "path is not allowed"},
		"path with a backslash":    {`a\b`, "../lib", "path holds what is not allowed"},
		"path that is the tree":    {".", "../lib", "path is not allowed"},
		"path with a double slash": {"a//b", "../lib", "path is not allowed"},
	} {
		_, err := c.Submodules(source(planted), listing(row.path, row.url))
		wantFailure(t, err, tasks.ReasonGitRejected, row.words)
		if strings.Contains(err.Error(), secret) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: error = %q, want one line without the password", name, err)
		}
	}
	for url, want := range map[string]git.Fetch{
		"../lib":                               {"a", base + "/acme/lib.git", true},
		"../../them/lib.git/":                  {"a", base + "/them/lib.git", true},
		"./sub":                                {"a", base + "/acme/api.git/sub.git", true},
		base + "/acme/lib.git":                 {"a", base + "/acme/lib.git", true},
		"https://user@git.example/scm/a/b":     {"a", base + "/a/b.git", true},
		"https://GIT.example:443/scm/a/b":      {"a", base + "/a/b.git", true},
		"git@git.example:acme/lib.git":         {"a", base + "/acme/lib.git", true},
		"git.example:acme/lib":                 {"a", base + "/acme/lib.git", true},
		"ssh://git@git.example:22/acme/lib":    {"a", base + "/acme/lib.git", true},
		"https://git.example/elsewhere/a":      {"a", "https://git.example/elsewhere/a", false},
		"https://git.example:8443/scm/a/b.git": {"a", "https://git.example:8443/scm/a/b.git", false},
		"https://other.example/x/y/z.git/":     {"a", "https://other.example/x/y/z.git", false},
		"https://[::1]:8443/x":                 {"a", "https://[::1]:8443/x", false},
	} {
		got, err := c.Submodules(source(planted), listing("a", url))
		if diff := cmp.Diff([]git.Fetch{want}, got); diff != "" {
			t.Errorf("submodule at %s: %v (-want +got):\n%s", url, err, diff)
		}
	}
}

// FuzzSubmodulePolicy checks that the credential goes to the provider alone,
// and that what passes is one https address and one path below the tree.
func FuzzSubmodulePolicy(f *testing.F) {
	for _, url := range []string{"../lib", "git@git.example:a/b", "https://other.example/x", "ext::sh", "ssh://-oX/y", "https://git.example/scm/a/b\n"} {
		f.Add(listing("vendor/lib", url))
	}
	f.Add("submodule.a.b.path\n.git/x\x00submodule.a.b.url\n../../../x\x00")
	const base = "https://git.example/scm"
	c, err := git.New(git.Options{GitHubURL: base, Environ: []string{"PATH=/bin"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := c.Submodules(source("token"), text)
		if err != nil {
			wantFailure(t, err, tasks.ReasonGitRejected, "clone acme/api@main")
			return
		}
		for _, s := range all {
			u, err := url.Parse(s.URL)
			if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || strings.ContainsAny(s.URL, "\r\n\x00 ") {
				t.Errorf("address = %q, %v", s.URL, err)
			}
			if s.Credential && (u.Host != "git.example" || !strings.HasPrefix(u.JoinPath().Path, "/scm/")) {
				t.Errorf("the credential goes to %q", s.URL)
			}
			if !filepath.IsLocal(s.Path) || strings.Contains(strings.ToLower("/"+s.Path+"/"), "/.git/") {
				t.Errorf("path = %q", s.Path)
			}
		}
	})
}

func TestModulesFileThatCanBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	for name, row := range map[string]struct{ text, words string }{
		"two addresses":    {entry("m", "a", "../lib") + entry("m", "a", "../other"), "two values for submodule m"},
		"two for a path":   {entry("m", "a", "../lib") + entry("n", "A", "../lib"), "two submodules have that path"},
		"no path":          {"[submodule \"m\"]\n\turl = ../lib\n", "submodule m: its path is missing"},
		"broken":           {"[submodule \"m\"\n", ".gitmodules cannot be read"},
		"too many":         {many(101), "more than 100 submodules"},
		"large":            {"#" + strings.Repeat("x", 300<<10), ".gitmodules is larger than 256 KiB"},
		"name leading out": {entry("x/../../m", "a", "../lib"), "holds objects that git refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			w.put("acme/api", withModules(row.text, map[string]string{"a": someCommit}))
			_, err := w.clone(git.Options{}, source(""))
			w.wantFailure(err, tasks.ReasonGitRejected, row.words)
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(entry(fmt.Sprint("m", i), fmt.Sprint("p", i), "../lib"))
	}
	return b.String()
}
