package pack_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/packs"
)

// request asks for the embedded pack with the text of vars.hcl.
func request(vars string) tasks.RenderRequest {
	return tasks.RenderRequest{
		Deploy:          tasks.ProjectDeploy{Pack: "cloudstation", UseEmbedded: true},
		Variables:       []byte(vars),
		ServiceProvider: "nomad",
	}
}

// embedded is shared by all tests, as a worker's slots share theirs.
var embedded = pack.New(packs.Files(), pack.Options{})

func cloudstation() *pack.Renderer { return embedded }

// render returns the job of the embedded pack.
func render(t testing.TB, vars string) string {
	t.Helper()
	job, err := cloudstation().Render(t.Context(), request(vars))
	if err != nil {
		t.Fatalf("Render(%s) = %v", vars, err)
	}
	return string(job)
}

// files makes a pack of its own out of variables.hcl and one job template.
func files(variables, template string) fs.FS {
	return fstest.MapFS{
		"p/metadata.hcl":              {Data: []byte("app {\n  url = \"https://acme.test\"\n}\npack {\n  name = \"p\"\n  version = \"1.2.3\"\n}\n")},
		"p/variables.hcl":             {Data: []byte(variables)},
		"p/templates/p.nomad.tpl":     {Data: []byte(template)},
		"p/templates/_empty.tpl":      {Data: []byte("\n")},
		"p/templates/nested/note.tpl": {Data: []byte("not a job")},
		"p/README.md":                 {Data: []byte("ignored")},
	}
}

func renderFiles(t testing.TB, packs fs.FS, vars string) (string, error) {
	t.Helper()
	job, err := pack.New(packs, pack.Options{}).Render(t.Context(), tasks.RenderRequest{
		Deploy:    tasks.ProjectDeploy{Pack: "p", UseEmbedded: true},
		Variables: []byte(vars),
	})
	return string(job), err
}

// wantFailure checks that err is a Failure with the reason, and that its
// message holds each of the texts.
func wantFailure(t testing.TB, err error, reason tasks.Reason, texts ...string) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error is %v, want a *tasks.Failure", err)
	}
	if failure.Reason != reason {
		t.Errorf("reason is %s, want %s", failure.Reason, reason)
	}
	for _, text := range texts {
		if !strings.Contains(failure.Message, text) {
			t.Errorf("message is %q, want it to hold %q", failure.Message, text)
		}
	}
	if strings.ContainsRune(failure.Message, '\n') {
		t.Errorf("message %q has more than one line", failure.Message)
	}
}
