package tasks_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// uploads is the port of uploaded sources, in memory.
type uploads struct {
	fail  []error
	asked []tasks.Upload
}

func (u *uploads) Unpack(_ context.Context, from tasks.Upload, dir string, _ tasks.Reporter) error {
	u.asked = append(u.asked, from)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if len(u.fail) > 0 {
		err := u.fail[0]
		u.fail = u.fail[1:]
		return err
	}
	return nil
}

func uploadTask() tasks.Task {
	return repositoryTask(func(d *tasks.Deploy) {
		d.SourceType, d.SourceURL, d.UploadID = tasks.SourceLocalUpload, "https://files.test/up?token=x", "up-1"
		d.Build.RootDirectory, d.Build.DockerfilePath = "app", "docker/Dockerfile"
	})
}

func TestAnUploadTakesTheClonesPlace(t *testing.T) {
	t.Parallel()
	down := tasks.Fail(tasks.ReasonSourceDown, "", nil)
	p, u := &parts{}, &uploads{fail: []error{down}}
	dir := t.TempDir()
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Uploads: u, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p}, tasks.Policy{Retry: tasks.Retry{First: 1}})
	l := &listener{}
	if _, err := h.Handle(t.Context(), uploadTask(), tasks.Attempt{Dir: dir}, l); err != nil {
		t.Fatal(err)
	}
	want := tasks.Upload{URL: "https://files.test/up?token=x", ID: "up-1", Paths: []string{"app", "docker/Dockerfile"}}
	if diff := cmp.Diff([]tasks.Upload{want, want}, u.asked); diff != "" {
		t.Errorf("asked twice, the second time in a fresh directory (-want +got):\n%s", diff)
	}
	if got, want := joined(l.stages), "clone configure build render register watch"; got != want {
		t.Errorf("stages: %s, want %s", got, want)
	}
	if want := filepath.Join(dir, "pack"); p.render.Dir != want || p.render.Report != l {
		t.Errorf("a pack would be fetched to %q and reported to %v, want %q and the task's reporter", p.render.Dir, p.render.Report, want)
	}
}

func TestAWorkerWithoutUploadsSaysSo(t *testing.T) {
	t.Parallel()
	_, _, err := (&parts{}).handle(t, uploadTask(), tasks.Policy{}, false)
	var failure *tasks.Failure
	if !errors.As(err, &failure) || failure.Reason != tasks.ReasonUnsupported {
		t.Errorf("Handle = %v, want unsupported", err)
	}
}
