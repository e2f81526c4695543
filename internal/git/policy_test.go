package git_test

import (
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestSourcesThatAreRejectedBeforeGitStarts(t *testing.T) {
	t.Parallel()
	// A program that is not there: starting it would be git_unavailable.
	w := newWorld(t, plain(nil), nil)
	for name, from := range map[string]tasks.Source{
		"provider":            {Provider: "sourcehut", Repository: "acme/api", Branch: "main"},
		"no provider":         {Repository: "acme/api", Branch: "main"},
		"one segment":         {Provider: "github", Repository: "api", Branch: "main"},
		"three at github":     {Provider: "github", Repository: "a/b/c", Branch: "main"},
		"21 groups":           {Provider: "gitlab", Repository: strings.Repeat("g/", 21) + "n", Branch: "main"},
		"empty segment":       {Provider: "gitlab", Repository: "acme//api", Branch: "main"},
		"leading slash":       {Provider: "gitlab", Repository: "/acme/api", Branch: "main"},
		"option":              {Provider: "github", Repository: "-oProxyCommand=touch x/api", Branch: "main"},
		"option as name":      {Provider: "github", Repository: "acme/--upload-pack=x", Branch: "main"},
		"parent":              {Provider: "gitlab", Repository: "acme/../api", Branch: "main"},
		"dot":                 {Provider: "gitlab", Repository: "acme/./api", Branch: "main"},
		"suffix alone":        {Provider: "github", Repository: "acme/.git", Branch: "main"},
		"other host":          {Provider: "github", Repository: "acme@evil.example/api", Branch: "main"},
		"URL":                 {Provider: "gitlab", Repository: "https://evil.example/acme/api", Branch: "main"},
		"query":               {Provider: "github", Repository: "acme/api?x=", Branch: "main"},
		"fragment":            {Provider: "github", Repository: "acme/api#x", Branch: "main"},
		"escape":              {Provider: "github", Repository: "acme/%2e%2e", Branch: "main"},
		"newline":             {Provider: "github", Repository: "acme/api\n[core]", Branch: "main"},
		"no branch":           {Provider: "github", Repository: "acme/api"},
		"branch as option":    {Provider: "github", Repository: "acme/api", Branch: "--upload-pack=touch x"},
		"branch with newline": {Provider: "github", Repository: "acme/api", Branch: "main\nx"},
		"branch with NUL":     {Provider: "github", Repository: "acme/api", Branch: "main\x00x"},
		// git would take it for HEAD.
		"branch that is a sign": {Provider: "github", Repository: "acme/api", Branch: "@"},
		"branch that is bytes":  {Provider: "github", Repository: "acme/api", Branch: "\xff"},
		"branch too long":       {Provider: "github", Repository: "acme/api", Branch: strings.Repeat("b", 201)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.clone(git.Options{Git: "/nonexistent/git"}, from)
			w.wantFailure(err, tasks.ReasonGitRejected, "clone ")
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("error = %q, want one line", err)
			}
		})
	}
}

func TestRealNamesAreAccepted(t *testing.T) {
	t.Parallel()
	c := newClient(t, "https://git.example", git.Options{})
	for _, from := range []tasks.Source{
		{Provider: "github", Repository: "acme/.github", Branch: "main"},
		{Provider: "github", Repository: "a-b/c.d_e-f", Branch: "user/feature-1.2_x"},
		{Provider: "gitlab", Repository: "g/s/t/name", Branch: "dependabot/npm_and_yarn/a-1"},
		{Provider: "bitbucket", Repository: "~someone/name", Branch: "größe/#12+x@y"},
	} {
		args, _, err := c.Command(from, "/srv/source")
		if want := "https://git.example/" + from.Repository + ".git"; err != nil || !slices.Contains(args, want) {
			t.Errorf("Command(%+v) = %v, %v, want %s", from, args, err, want)
		}
	}
}

// Every branch that passes must pass git's own check, and the usual ones must pass.
func TestBranchRulesAreGits(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Skip("needs git")
	}
	c := newClient(t, "https://git.example", git.Options{})
	for _, branch := range []string{
		"main", "a/b", "a..b", "a.", ".a", "a/.b", "a.lock", "a.lock/b", "a//b", "/a", "a/", "@{", "a@{b", "a@b",
		"a~", "a^", "a:", "a?", "a*", "a[", "a]", `a\`, "a b", "a\tb", "a\x7f", "-a", "a-", "HEAD2", "é", "{", "a.b", "a/b.lock", "a/@",
	} {
		from := source("")
		from.Branch = branch
		_, _, err := c.Command(from, "/srv/source")
		gits := exec.CommandContext(t.Context(), program, "check-ref-format", "--branch", branch).Run()
		if (err == nil) != (gits == nil) {
			t.Errorf("branch %q: policy says %v, git says %v", branch, err, gits)
		}
	}
}

func TestNewNamesEveryBadOption(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"ssh://git.example", "git.example", "file:///srv", "https://", "https://user:" + planted + "@git.example",
		"https://git.example?x", "https://git.example/?", "https://git.example/#x", "https://git.exa mple", "https://*.example",
		"https://git.example/../x", "https://git.example/a b", "https://git.example:port", "ext::sh", "https://git.example/%2e%2e",
	} {
		_, err := git.New(git.Options{GitHubURL: base, GitLabURL: base, MaxBytes: -1, StallTimeout: -1})
		if err == nil {
			t.Errorf("New(%q) = nil, want an error", base)
			continue
		}
		for _, want := range []string{"GitHubURL", "GitLabURL", "MaxBytes", "StallTimeout"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("New(%q) = %v, want %s in it", base, err, want)
			}
		}
		if strings.Contains(err.Error(), planted) {
			t.Errorf("New(%q) repeats the password", base)
		}
	}
	for _, base := range []string{"", "https://git.example/", "http://127.0.0.1:3000/scm", "https://[::1]:8443"} {
		if _, err := git.New(git.Options{GitHubURL: base}); err != nil {
			t.Errorf("New(%q) = %v, want nil", base, err)
		}
	}
}

// FuzzSourcePolicy checks that no name makes git see another option or go to
// another host, and that what is refused is refused with the policy's reason.
func FuzzSourcePolicy(f *testing.F) {
	f.Add("github", "acme/api", "main", "token")
	f.Add("gitlab", "a/b/c", "x/y", "")
	f.Add("bitbucket", "-oProxyCommand=x/y", "--upload-pack=x", "a\nb")
	f.Add("github", "acme@evil.example/api", "@{-1}", "\x00")
	const base, dir = "https://git.example:8443/scm", "/srv/source"
	c, err := git.New(git.Options{GitHubURL: base, GitLabURL: base, BitbucketURL: base, Environ: []string{"PATH=/bin"}})
	if err != nil {
		f.Fatal(err)
	}
	fixed, _, err := c.Command(source(""), dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, provider, repository, branch, token string) {
		from := tasks.Source{Provider: provider, Repository: repository, Branch: branch, Token: tasks.Secret(token)}
		args, env, err := c.Command(from, dir)
		if err != nil {
			wantFailure(t, err, tasks.ReasonGitRejected, "clone ")
			return
		}
		want := slices.Clone(fixed)
		want[len(want)-4], want[len(want)-2] = "--branch="+branch, args[len(args)-2]
		if !slices.Equal(args, want) {
			t.Errorf("arguments = %q, want %q", args, want)
		}
		checkAddress(t, args[len(args)-2])
		for _, text := range slices.Concat(args, env) {
			if strings.ContainsAny(text, "\x00\n\r") {
				t.Errorf("%q holds a control character", text)
			}
		}
	})
}

// checkAddress checks that an address leads to a path below the base and holds nothing else.
func checkAddress(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "https" || u.Host != "git.example:8443" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		t.Errorf("address = %q, which leads elsewhere", address)
	}
	if clean := u.JoinPath().Path; !strings.HasPrefix(clean, "/scm/") || clean != u.Path || u.RawPath != "" {
		t.Errorf("path = %q, which is not below the base", u.Path)
	}
}
