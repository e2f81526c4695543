package tasks

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The files and the folders of a task's work directory. The source has a folder
// of its own, so that nothing of ours is in the build's context.
const (
	sourceDir     = "source"
	packDir       = "pack"
	projectFile   = "cloudstation.hcl"
	variablesFile = "vars.hcl"
)

// clone puts the task's source into the work directory. A second try starts
// from a fresh folder.
func (h *Handler) clone(ctx context.Context, r *run) error {
	dir := filepath.Join(r.at.Dir, sourceDir)
	if err := os.RemoveAll(dir); err != nil {
		return Fail(ReasonInternal, "", fmt.Errorf("empty %s: %w", dir, err))
	}
	if r.task.Deploy.SourceType == SourceLocalUpload {
		return h.unpack(ctx, r, dir)
	}
	return h.cloneRepository(ctx, r, dir)
}

func (h *Handler) cloneRepository(ctx context.Context, r *run, dir string) error {
	d := r.task.Deploy
	revision, err := h.parts.Cloner.Clone(ctx, Source{
		Provider: d.Provider, Repository: d.Repository, Branch: d.Branch, Token: d.GitPass, History: keepsGit(d),
	}, dir, r.rep)
	if err != nil {
		return err
	}
	r.result.Commit = revision.Commit
	r.say("cloned %s@%s at %s %s", d.Repository, d.Branch, shortCommit(revision.Commit), revision.Subject)
	return nil
}

func (h *Handler) unpack(ctx context.Context, r *run, dir string) error {
	if h.parts.Uploads == nil {
		return Fail(ReasonUnsupported, "this worker takes no uploads", nil)
	}
	d := r.task.Deploy
	return h.parts.Uploads.Unpack(ctx, Upload{
		URL: Secret(d.SourceURL), ID: d.UploadID, Paths: []string{d.Build.RootDirectory, d.Build.DockerfilePath},
	}, dir, r.rep)
}

// keepGitArg is BuildKit's own build argument for a context that keeps .git.
const keepGitArg = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"

// keepsGit reports whether the build wants the repository beside its files,
// for `git describe` and the like.
func keepsGit(d *Deploy) bool {
	wanted, err := strconv.ParseBool(d.Build.BuildArgs[keepGitArg])
	return err == nil && wanted
}

// configure writes the deployment's HCL, reads it back, and goes on with what
// it has read: what was parsed is what runs.
func (h *Handler) configure(ctx context.Context, r *run) error {
	h.askDomains(ctx, r)
	r.plan = h.planFor(r)
	text, err := h.parts.Configurer.Project(r.plan)
	if err != nil {
		return err
	}
	path := filepath.Join(r.at.Dir, projectFile)
	if text, err = writeAndReadBack(path, text); err != nil {
		return err
	}
	if r.project, err = h.parts.Configurer.ParseProject(text); err != nil {
		return err
	}
	if !r.hasImage() {
		r.image = r.project.image()
	}
	return h.writeVariables(r)
}

// image is the one that the project names.
func (p Project) image() Image {
	if p.Registry != nil {
		return Image{Name: p.Registry.Image, Tag: p.Registry.Tag}
	}
	return Image{Name: p.Build.Name, Tag: p.Build.Tag}
}

// writeVariables writes vars.hcl for the image as far as it is known.
func (h *Handler) writeVariables(r *run) error {
	text, err := h.parts.Configurer.Variables(r.plan, r.image)
	if err != nil {
		return err
	}
	_, err = writeAndReadBack(filepath.Join(r.at.Dir, variablesFile), text)
	return err
}

// build makes the image and, unless the task says otherwise, pushes it.
func (h *Handler) build(ctx context.Context, r *run) error {
	if err := r.at.Guard.Ask(ctx); err != nil {
		return err
	}
	b := r.project.Build
	image, err := h.parts.Builder.Build(ctx, BuildRequest{
		Builder:        b.Use,
		Dir:            r.source(),
		Context:        b.Context,
		Dockerfile:     b.Dockerfile,
		BuildCommand:   b.BuildCommand,
		StartCommand:   b.StartCommand,
		BuildArgs:      b.BuildArgs,
		StaticBuildEnv: b.StaticBuildEnv,
		Secrets:        r.secrets,
		KeepGit:        keepsGit(r.task.Deploy),
		Scratch:        r.at.Dir,
		Name:           r.image.Name,
		Tag:            r.image.Tag,
		Push:           r.plan.Push,
		Credentials:    h.credentialsFor(r, r.image.Name),
	}, r.rep)
	if err != nil {
		return err
	}
	r.image = image
	r.result.Image = image
	r.sayWhere(image)
	return nil
}

// source is the root of the tree that is built.
func (r *run) source() string {
	if r.local != nil {
		return r.local.Dir
	}
	return filepath.Join(r.at.Dir, sourceDir)
}

// sayWhere says in the log where the built image is.
func (r *run) sayWhere(image Image) {
	switch {
	case image.Digest != "":
		r.say("pushed %s", image.Reference())
	case image.Loaded:
		r.say("not pushed: loaded into the Docker daemon as %s", image.Reference())
	case r.wants(StageResolve):
		r.say("not pushed: %s must be in its registry already", image.Reference())
	}
}

// planFor decides what the params leave open: the builder and the image's full name.
func (h *Handler) planFor(r *run) Plan {
	d := r.task.Deploy
	plan := Plan{Deploy: d, ImageName: d.ImageName, ImageTag: d.ImageTag, Builder: BuilderNoop}
	if !r.task.Kind.FromRepository() {
		return plan
	}
	plan.Builder = cmp.Or(r.at.From.Builder, d.Build.Builder)
	if plan.Builder == BuilderDetect {
		plan.Builder = detectBuilder(r)
	}
	if plan.Builder == BuilderNoop {
		return plan
	}
	plan.ImageName = h.pushName(d)
	plan.Push = !bool(d.Build.DisablePush) && d.Deployer != DeployerNoop
	return plan
}

// detectBuilder chooses csdocker where the root directory has a Dockerfile.
func detectBuilder(r *run) string {
	d := r.task.Deploy
	root, err := os.OpenRoot(filepath.Join(r.at.Dir, sourceDir))
	if err != nil {
		return BuilderNixpacks
	}
	defer func() { _ = root.Close() }()
	file := filepath.Join(filepath.FromSlash(d.Build.RootDirectory), "Dockerfile")
	if info, err := root.Stat(file); err == nil && info.Mode().IsRegular() {
		r.say("builder: csdocker, because %s exists", filepath.ToSlash(file))
		return BuilderDocker
	}
	r.say("builder: nixpacks, because there is no %s", filepath.ToSlash(file))
	return BuilderNixpacks
}

// pushName is the full name of the image that a repository's build makes.
func (h *Handler) pushName(d *Deploy) string {
	name := d.ImageName
	if bool(d.Build.PrivateRegistry) && d.Build.RegistryURL != "" {
		return joinImage(registryHost(d.Build.RegistryURL), d.Build.RegistryNamespace, name)
	}
	if h.policy.PushRegistry != "" && RegistryOf(name) == DockerHub {
		return joinImage(h.policy.PushRegistry, "", name)
	}
	return name
}

// writeAndReadBack writes a file of the work directory and returns what the
// file then holds.
func writeAndReadBack(path string, text []byte) ([]byte, error) {
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, Fail(diskReason(err), "", err)
	}
	back, err := os.ReadFile(path)
	if err != nil {
		return nil, Fail(ReasonInternal, "", err)
	}
	return back, nil
}

func shortCommit(commit string) string { return commit[:min(12, len(commit))] }

func joinImage(parts ...string) string {
	var kept []string
	for _, part := range parts {
		if part = strings.Trim(part, "/"); part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "/")
}
