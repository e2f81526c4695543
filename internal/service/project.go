package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// mostProjectText is how large a project's file may be.
const mostProjectText = 1 << 20

// LocalProject is a cloudstation.hcl on an engineer's own machine, with the
// files that it names.
type LocalProject struct {
	// File is the path as it was given, Dir the directory that it lies in: the
	// root of the source.
	File string
	Dir  string
	// Project is what the file says, VariableFiles what it names.
	Project       tasks.Project
	VariableFiles []tasks.VariableFile
	// Image is the image's name and tag as they will be pushed or pulled.
	Image tasks.Image
	// Warnings are plain sentences about what is not wrong, but may surprise.
	Warnings []string
}

// ReadProject reads and judges a project's files as far as the goal needs them;
// no goal needs all. It asks nobody and changes nothing. The error is a
// tasks.FileProblems with everything that is wrong.
func ReadProject(ctx context.Context, cfg config.Config, file string, goal tasks.Goal) (LocalProject, error) {
	r := &projectReader{cfg: cfg, goal: goal, p: LocalProject{File: file, Dir: filepath.Dir(filepath.Clean(file))}}
	r.read(ctx)
	if len(r.problems) > 0 {
		r.problems.Sort()
		return r.p, r.problems
	}
	return r.p, nil
}

// projectReader collects what is wrong with one project.
type projectReader struct {
	cfg      config.Config
	goal     tasks.Goal
	doc      hcl.Document
	p        LocalProject
	root     *os.Root
	problems tasks.FileProblems
}

func (r *projectReader) read(ctx context.Context) {
	var err error
	if r.root, err = os.OpenRoot(r.p.Dir); err != nil {
		r.whole("directory " + r.p.Dir + " cannot be opened: " + reasonOf(err))
		return
	}
	defer func() { _ = r.root.Close() }()
	text, problem := r.file(filepath.Base(r.p.File))
	if problem != "" {
		r.whole(problem)
		return
	}
	r.doc = hcl.Generator{}.ReadProject(r.p.File, text)
	r.p.Project, r.problems = r.doc.Project, r.doc.Problems
	if len(r.problems) > 0 && r.p.Project.Deploy.DeploymentName == "" {
		return
	}
	if r.goal == tasks.GoalDestroy {
		return
	}
	if r.goal != tasks.GoalDeploy && r.goal != tasks.GoalPlan {
		r.source()
	}
	r.variables()
	if len(r.problems) == 0 {
		r.preview(ctx)
	}
}

// whole is a problem of cloudstation.hcl as a file.
func (r *projectReader) whole(text string) {
	if strings.HasPrefix(text, "does not exist") {
		text += ": `dispatchd init` writes one"
	}
	r.problems = append(r.problems, tasks.FileProblem{File: r.p.File, Text: text})
}

// file reads a regular file beneath the project's directory, or says what is
// wrong with it.
func (r *projectReader) file(name string) (text []byte, problem string) {
	info, err := r.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "does not exist"
	case err != nil && strings.Contains(err.Error(), "escapes"):
		return nil, "leaves the project's directory"
	case err != nil:
		return nil, "cannot be read: " + reasonOf(err)
	case !info.Mode().IsRegular():
		return nil, "is no regular file"
	case info.Size() > mostProjectText:
		return nil, fmt.Sprintf("has more than %d bytes", mostProjectText)
	}
	opened, err := r.root.Open(name)
	if err != nil {
		return nil, "cannot be read: " + reasonOf(err)
	}
	defer func() { _ = opened.Close() }()
	if text, err = io.ReadAll(io.LimitReader(opened, mostProjectText)); err != nil {
		return nil, "cannot be read: " + reasonOf(err)
	}
	return text, ""
}

// reasonOf is an error without the path that it repeats.
func reasonOf(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// variables reads the variable files and holds them to the pack.
func (r *projectReader) variables() {
	const place = "deploy.variable_files"
	for _, name := range r.p.Project.Deploy.VariableFiles {
		text, problem := r.file(name)
		if problem != "" {
			r.problems = append(r.problems, r.doc.Problem(place, fmt.Sprintf("variable file %q %s", name, problem)))
			continue
		}
		file := tasks.VariableFile{Name: filepath.Join(filepath.Dir(r.p.File), name), Text: text}
		written, problems := hcl.Generator{}.ReadVariables(file)
		r.problems = append(r.problems, problems...)
		r.written(file.Name, written)
		r.packed(file)
		r.p.VariableFiles = append(r.p.VariableFiles, file)
	}
}

// written looks at the two variables that are not the file's to decide.
func (r *projectReader) written(file string, variables []hcl.Written) {
	project := r.p.Project
	image := localHandler(r.cfg).LocalImage(project)
	for _, w := range variables {
		switch {
		case w.Name == "job_name" && w.Text != project.Deploy.DeploymentName:
			text := fmt.Sprintf("job_name is not the deployment_name of %s, %q", filepath.Base(r.p.File), project.Deploy.DeploymentName)
			r.problems = append(r.problems, tasks.FileProblem{File: file, Line: w.Line, Column: w.Column, Text: text})
		case w.Name == "image" && w.Text != image.Reference():
			r.p.Warnings = append(r.p.Warnings, fmt.Sprintf("%s:%d:%d: image is not taken from here: it is %s of %s",
				file, w.Line, w.Column, image.Reference(), filepath.Base(r.p.File)))
		}
	}
}

func (r *projectReader) packed(file tasks.VariableFile) {
	if r.p.Project.Deploy.Use == tasks.DeployerNoop {
		return
	}
	problems, err := newRenderer().CheckVariables(r.p.Project.Deploy, file)
	r.problems = append(r.problems, problems...)
	if err != nil {
		text := tasks.AsFailure(err).Message
		same := func(p tasks.FileProblem) bool { return p.Text == text }
		if !slices.ContainsFunc(r.problems, same) {
			r.problems = append(r.problems, r.doc.Problem("deploy.pack", text))
		}
	}
}

// source looks whether what is built is there. The builder looks again.
func (r *projectReader) source() {
	b := r.p.Project.Build
	if b.Use == tasks.BuilderNoop || b.Use == "" {
		return
	}
	context := strings.TrimLeft(filepath.ToSlash(b.Context), "/")
	if context == "" {
		context = "."
	}
	info, err := r.root.Stat(context)
	switch {
	case err != nil:
		r.problems = append(r.problems, r.doc.Problem("build.context", fmt.Sprintf("context %q does not exist", b.Context)))
		return
	case !info.IsDir():
		r.problems = append(r.problems, r.doc.Problem("build.context", fmt.Sprintf("context %q is no directory", b.Context)))
		return
	}
	if b.Use == tasks.BuilderDocker && !r.hasDockerfile(context, b.Dockerfile) {
		r.problems = append(r.problems, r.doc.Problem("build.dockerfile",
			fmt.Sprintf("Dockerfile %q does not exist in the context or beside %s", b.Dockerfile, filepath.Base(r.p.File))))
	}
}

func (r *projectReader) hasDockerfile(context, name string) bool {
	for _, try := range []string{path.Join(context, name), path.Clean(strings.TrimLeft(name, "/"))} {
		if info, err := r.root.Stat(try); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// preview renders the job with the image at its tag: what the pack refuses is
// better heard before the build.
func (r *projectReader) preview(ctx context.Context) {
	handler := localHandler(r.cfg)
	r.p.Image = handler.LocalImage(r.p.Project)
	if r.p.Project.Deploy.Use == tasks.DeployerNoop {
		return
	}
	_, err := handler.PreviewLocal(ctx, tasks.Local{Project: r.p.Project, VariableFiles: r.p.VariableFiles})
	if err != nil {
		r.problems = append(r.problems, tasks.FileProblem{File: r.p.File, Text: tasks.AsFailure(err).Message})
	}
}

// localHandler has the parts that ask nobody.
func localHandler(cfg config.Config) *tasks.Handler {
	return tasks.NewHandler(tasks.Parts{Configurer: hcl.Generator{}, Renderer: newRenderer()}, policy(cfg))
}
