package pack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// registry is a git server's stand-in: it puts a tree where a clone would.
type registry struct {
	// change is done to the tree before it is read.
	change func(dir string) error
	err    error
	asked  []pack.Origin
}

func (g *registry) fetch(_ context.Context, from pack.Origin, dir string, _ tasks.Reporter) (string, error) {
	g.asked = append(g.asked, from)
	if g.err != nil {
		return "", g.err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS("testdata/registry")); err != nil {
		return "", err
	}
	if g.change != nil {
		return "c0ffee", g.change(dir)
	}
	return "c0ffee", nil
}

// render asks for a pack of the registry that these settings allow.
func (g *registry) render(t *testing.T, d tasks.ProjectDeploy, vars string, allowed ...string) (job, log string, err error) {
	t.Helper()
	registries, err := pack.ParseRegistries(allowed)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	said := &report{}
	text, err := pack.New(nil, pack.Options{Registries: registries, Fetch: g.fetch}).Render(t.Context(), tasks.RenderRequest{
		Deploy: d, RegistryToken: "the-token", Variables: []byte(vars), Dir: filepath.Join(work, "pack"), Report: said,
	})
	if left, _ := os.ReadDir(work); len(left) != 0 {
		t.Errorf("%s is left", left[0].Name())
	}
	return string(text), said.String(), err
}

// report is a tasks.Reporter that keeps what is said.
type report struct{ bytes.Buffer }

func (r *report) Stage(tasks.Stage) {}
func (r *report) Stdout() io.Writer { return r }
func (r *report) Stderr() io.Writer { return r }

func webapp() tasks.ProjectDeploy {
	return tasks.ProjectDeploy{Pack: "webapp", RegistryName: "ours", RegistrySource: "github.com/acme/packs", RegistryRef: "v1"}
}

// vars is what a task gives: more than the pack declares of its objects.
func vars(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "fetched", "vars.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAPackOfARegistryIsRenderedAsNomadPackDoes(t *testing.T) {
	t.Parallel()
	g := &registry{}
	job, log, err := g.render(t, webapp(), vars(t), "github.com/acme/packs")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join("testdata", "fetched", "job.nomad.hcl"), []byte(job))
	readByNomad(t, []byte(job))
	if want := "pack webapp 0.3.1 from https://github.com/acme/packs at c0ffee\n"; log != want {
		t.Errorf("the log says %q, want %q", log, want)
	}
	want := []pack.Origin{{URL: "https://github.com/acme/packs", Ref: "v1", Token: "the-token"}}
	if diff := cmp.Diff(want, g.asked); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyAllowedRegistriesAreAsked(t *testing.T) {
	t.Parallel()
	const setting = "DISPATCHD_PACK_REGISTRIES"
	for name, c := range map[string]struct {
		allowed     []string
		source, ref string
		want        pack.Origin
		text        string
	}{
		"as it is written":        {[]string{"github.com/acme/packs"}, "github.com/acme/packs", "", pack.Origin{URL: "https://github.com/acme/packs"}, ""},
		"written as a URL":        {[]string{"github.com/acme/packs"}, "https://GitHub.com:443/acme/packs.git/", "main", pack.Origin{URL: "https://github.com/acme/packs", Ref: "main"}, ""},
		"written for go-getter":   {[]string{"https://github.com/acme/packs.git"}, "git::https://github.com/acme/packs.git", "", pack.Origin{URL: "https://github.com/acme/packs"}, ""},
		"latest":                  {[]string{"github.com/acme/packs"}, "github.com/acme/packs", "latest", pack.Origin{URL: "https://github.com/acme/packs"}, ""},
		"plain http, allowed":     {[]string{"http://127.0.0.1:3000/acme/packs"}, "127.0.0.1:3000/acme/packs", "", pack.Origin{URL: "http://127.0.0.1:3000/acme/packs"}, ""},
		"plain http, not allowed": {[]string{"github.com/acme/packs"}, "http://github.com/acme/packs", "", pack.Origin{URL: "https://github.com/acme/packs"}, ""},
		"pinned":                  {[]string{"github.com/acme/packs#v1"}, "github.com/acme/packs", "v1", pack.Origin{URL: "https://github.com/acme/packs", Ref: "v1"}, ""},
		"pinned, nothing named":   {[]string{"github.com/acme/packs#v1"}, "github.com/acme/packs", "latest", pack.Origin{URL: "https://github.com/acme/packs", Ref: "v1"}, ""},
		"pinned twice":            {[]string{"github.com/acme/packs#v1", "github.com/acme/packs#v2"}, "github.com/acme/packs", "v2", pack.Origin{URL: "https://github.com/acme/packs", Ref: "v2"}, ""},
		"pinned elsewhere":        {[]string{"github.com/acme/packs#v1"}, "github.com/acme/packs", "main", pack.Origin{}, setting + ` allows it at v1 alone, not at "main"`},
		"nothing is allowed":      {nil, "github.com/acme/packs", "", pack.Origin{}, "github.com/acme/packs is not in " + setting},
		"another repository":      {[]string{"github.com/acme/packs"}, "github.com/acme/packs2", "", pack.Origin{}, "is not in " + setting},
		"another host":            {[]string{"github.com/acme/packs"}, "github.com.evil.test/acme/packs", "", pack.Origin{}, "is not in " + setting},
		"another case of a path":  {[]string{"github.com/acme/packs"}, "github.com/Acme/packs", "", pack.Origin{}, "is not in " + setting},
		"upwards":                 {[]string{"github.com/acme/packs"}, "github.com/acme/packs/../../evil/packs", "", pack.Origin{}, "cannot be read"},
		"a folder of it":          {[]string{"github.com/acme/packs"}, "github.com/acme/packs.git//packs/web", "", pack.Origin{}, "cannot be read"},
		"a file":                  {[]string{"github.com/acme/packs"}, "file:///etc/acme/packs", "", pack.Origin{}, "only https"},
		"over SSH":                {[]string{"github.com/acme/packs"}, "git@github.com:acme/packs", "", pack.Origin{}, "cannot be read"},
		"with a user":             {[]string{"github.com/acme/packs"}, "https://git@github.com/acme/packs", "", pack.Origin{}, "a user has no place"},
		"with a query":            {[]string{"github.com/acme/packs"}, "https://github.com/acme/packs?ref=evil", "", pack.Origin{}, "query"},
		"a path alone":            {[]string{"github.com/acme/packs"}, "./packs", "", pack.Origin{}, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &registry{}
			d := webapp()
			d.RegistrySource, d.RegistryRef = c.source, c.ref
			_, _, err := g.render(t, d, vars(t), c.allowed...)
			if c.text != "" {
				wantFailure(t, err, tasks.ReasonUnsupported, `deploy pack "webapp" from registry "ours": `, c.text)
				if len(g.asked) != 0 {
					t.Errorf("%v was asked", g.asked)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.want.Token = "the-token"
			if diff := cmp.Diff([]pack.Origin{c.want}, g.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRegistriesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"", "packs", "github.com/packs", "ftp://github.com/acme/packs", "https://user:the-password@github.com/acme/packs", "git@github.com:acme/packs", "github.com/acme/../packs"} {
		_, err := pack.ParseRegistries([]string{"github.com/acme/packs", entry})
		if err == nil || !strings.Contains(err.Error(), "pack registry") || strings.Contains(err.Error(), "the-password") {
			t.Errorf("ParseRegistries(%q) = %v", entry, err)
		}
	}
}

func TestTheTargetNamesThePack(t *testing.T) {
	t.Parallel()
	d := webapp()
	d.Pack, d.RegistryTarget = "cloudstation", "webapp"
	if _, _, err := (&registry{}).render(t, d, vars(t), "github.com/acme/packs"); err != nil {
		t.Error(err)
	}
}

func TestARegistryThatCannotBeFetchedSaysWhy(t *testing.T) {
	t.Parallel()
	gone := tasks.Fail(tasks.ReasonGitRefNotFound, "clone acme/packs@v1: not found", nil)
	_, _, err := (&registry{err: gone}).render(t, webapp(), vars(t), "github.com/acme/packs")
	if !errors.Is(err, gone) {
		t.Errorf("Render = %v, want %v", err, gone)
	}
}

// TestHostileRegistries holds what a registry's tree may not do.
func TestHostileRegistries(t *testing.T) {
	t.Parallel()
	const (
		metadata = "packs/webapp/metadata.hcl"
		job      = "packs/webapp/templates/webapp.nomad.tpl"
		extra    = "packs/webapp/templates/_extra.tpl"
	)
	put := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	link := func(name, target string) func(string) error {
		return func(dir string) error {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(dir, name))
		}
	}
	call := func(text string) func(string) error {
		return put(job, "job \"x\" {\n  meta {\n    a = "+text+"\n  }\n}\n")
	}
	for name, c := range map[string]struct {
		change func(dir string) error
		text   string
	}{
		"template is a link out":       {link(extra, "/etc/passwd"), "webapp/templates/_extra.tpl is a link or a special file"},
		"template is a link inside":    {link(extra, "_helpers.tpl"), "is a link or a special file"},
		"metadata is a link":           {link(metadata, "/etc/hostname"), "webapp/metadata.hcl is a link or a special file"},
		"templates is a link":          {link("packs/webapp/templates", "/etc"), "is a link or a special file"},
		"the pack is a link out":       {link("packs/webapp", "/etc"), "path escapes from parent"},
		"packs is a link out":          {link("packs", "/etc"), ""},
		"a large file":                 {put(extra, strings.Repeat("x", 1<<20+1)), "larger than 1048576 bytes"},
		"no pack of that name":         {func(dir string) error { return os.Rename(dir+"/packs/webapp", dir+"/packs/webap") }, `the registry has no packs/webapp, did you mean "webap"?`},
		"no packs":                     {func(dir string) error { return os.Rename(dir+"/packs", dir+"/p") }, "it has no directory packs"},
		"a template that does not end": {put(job, "job \"x\" {\n[[ if true ]]\n}"), "webapp/templates/webapp.nomad.tpl:"},
		"an unknown function":          {call(`[[ nosuch "x" ]]`), `webapp/templates/webapp.nomad.tpl:3: function "nosuch" not defined`},
		"fileContents":                 {call(`[[ fileContents "/etc/passwd" | quote ]]`), "webapp/templates/webapp.nomad.tpl:3:"},
		"fileContents, why":            {call(`[[ fileContents "/etc/passwd" | quote ]]`), "the function fileContents is not available in a pack"},
		"env":                          {call(`[[ env "NOMAD_TOKEN" | quote ]]`), "the function env is not available in a pack"},
		"tpl":                          {call(`[[ tpl "[[ env \"X\" ]]" . ]]`), "the function tpl is not available"},
		"getHostByName":                {call(`[[ getHostByName "evil.test" | quote ]]`), "not available"},
		"a file of the server":         {call(`file("/etc/passwd")`), "an expression that is not a constant"},
		"a variable of the parser":     {call(`var.secret`), "an expression that is not a constant"},
		"a conditional":                {call(`"${true ? 1 : 2}"`), "an expression that is not a constant"},
		"two jobs":                     {put("packs/webapp/templates/second.nomad.tpl", "job \"y\" {}"), "the pack gives 2 jobs"},
		"a loop":                       {put(extra, `[[ define "l" ]][[ template "l" . ]][[ end ]]`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job, _, err := (&registry{change: c.change}).render(t, webapp(), vars(t), "github.com/acme/packs")
			if name == "a loop" {
				// Nobody calls it: it is inert.
				return
			}
			wantFailure(t, err, tasks.ReasonRenderFailed, "render pack webapp: ", c.text)
			if strings.Contains(job, "root:") || strings.Contains(err.Error(), "root:") {
				t.Errorf("a file of the machine is shown: %s %v", job, err)
			}
		})
	}
	d := webapp()
	d.Pack = "batch"
	_, _, err := (&registry{}).render(t, d, "", "github.com/acme/packs")
	wantFailure(t, err, tasks.ReasonRenderFailed, `dependency "webapp": packs with dependencies are not supported`, "(https://github.com/acme/packs at c0ffee)")
	for _, pack := range []string{"..", "../packs/webapp", "/etc", "webapp/templates", ".", "a\x00b"} {
		d.Pack = pack
		if _, _, err := (&registry{}).render(t, d, "", "github.com/acme/packs"); err == nil {
			t.Errorf("the pack %q is rendered", pack)
		}
	}
}
