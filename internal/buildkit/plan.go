package buildkit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"
)

// The frontends: the daemon's own, for which no image is pulled, and the one
// that runs another out of an image.
const (
	dockerfileFrontend = "dockerfile.v0"
	imageFrontend      = "gateway.v0"
)

// imageConfigKey is where the frontend puts the image's config.
const imageConfigKey = exptypes.ExporterImageConfigKey

// buildArg is the prefix of the attributes that are build arguments.
const buildArg = "build-arg:"

// inputs are what a build reads.
type inputs struct {
	source *sourceTree
	// planned is nil where the source has a Dockerfile of its own.
	planned *planned
}

// solvePlan is everything that is decided before the daemon is asked.
type solvePlan struct {
	ref   imageRef
	creds tasks.Credentials
	push  bool
	load  *loading
	what  string
	build control.Build
}

// plan turns a request into what the daemon is asked.
func (c *Client) plan(req tasks.BuildRequest, ref imageRef, in inputs) (*solvePlan, error) {
	mounts, err := in.mounts()
	if err != nil {
		return nil, err
	}
	credentials, err := newSessionAuth(ref.host(), req.Credentials)
	if err != nil {
		return nil, tasks.Fail(tasks.ReasonInternal, "", err)
	}
	secrets, err := newSessionSecrets(req.Secrets, in.variables())
	if err != nil {
		return nil, err
	}
	plan := &solvePlan{
		ref: ref, creds: req.Credentials, push: req.Push, what: in.describe(req),
	}
	plan.build = control.Build{
		Frontend: dockerfileFrontend, Attrs: in.dockerfileAttrs(req, ref),
		Mounts: mounts, SharedKey: cacheName(ref),
		Services: []session.Attachable{credentials, secrets},
	}
	if in.planned != nil && in.planned.Frontend != "" {
		plan.build.Frontend, plan.build.Attrs = imageFrontend, in.planned.frontendAttrs(ref, secrets)
	}
	switch {
	case req.Push:
		plan.build.Exports = []control.Export{c.export(ref)}
	case c.docker != nil:
		plan.load = newLoading(c.docker, ref)
		plan.build.Exports = []control.Export{plan.load.export()}
	}
	return plan, nil
}

// mounts are the file systems that the daemon may read.
func (in inputs) mounts() (map[string]fsutil.FS, error) {
	mounts, err := in.source.mounts()
	if err != nil || in.planned == nil {
		return mounts, err
	}
	own, err := in.planned.mounts()
	maps.Copy(mounts, own)
	return mounts, err
}

// variables are those that the plan's frontend takes like secrets.
func (in inputs) variables() map[string]string {
	if in.planned == nil {
		return nil
	}
	return in.planned.Variables
}

// describe says for the log what the image is made from.
func (in inputs) describe(req tasks.BuildRequest) string {
	dir := cleanPath(req.Context)
	if in.planned == nil {
		return fmt.Sprintf("%s, context %s", in.source.dockerfile, dir)
	}
	return fmt.Sprintf("the plan of %s, context %s", in.planned.Program, path.Join(dir, in.planned.Context))
}

// dockerfileAttrs are the Dockerfile frontend's settings.
func (in inputs) dockerfileAttrs(req tasks.BuildRequest, ref imageRef) map[string]string {
	if in.planned == nil {
		attrs := dockerfileAttrs(in.source.dockerfile, ref)
		addBuildArgs(attrs, req.StaticBuildEnv, nil)
		addBuildArgs(attrs, req.BuildArgs, nil)
		return attrs
	}
	attrs := dockerfileAttrs(path.Base(in.planned.File), ref)
	attrs["context:"+planContext] = "local:" + planContext
	addBuildArgs(attrs, in.planned.Args, req.Secrets)
	return attrs
}

// dockerfileAttrs are the settings that no request changes.
func dockerfileAttrs(dockerfile string, ref imageRef) map[string]string {
	return map[string]string{
		"filename": dockerfile,
		// This is how a frontend is told that it was chosen by name: it builds
		// the Dockerfile itself, where a "# syntax=" line would otherwise pull
		// and run any image.
		"cmdline": dockerfileFrontend,
		// Cache mounts are named by the Dockerfile: two apps must not meet in one.
		buildArg + "BUILDKIT_CACHE_MOUNT_NS": cacheName(ref),
	}
}

// addBuildArgs adds build arguments, but for those that steer the builder and
// those with the name of a secret: a plan's come out of the source, too.
func addBuildArgs(attrs, args map[string]string, secrets map[string]tasks.Secret) {
	for name, value := range args {
		if !steersBuilder(name) && !hasKey(secrets, name) {
			attrs[buildArg+name] = value
		}
	}
}

// frontendAttrs are the settings of a frontend out of an image: what it reads,
// the name of the app's own cache mounts, and a value that changes with the
// secrets so that no step is taken out of the cache that saw others.
func (p *planned) frontendAttrs(ref imageRef, secrets *sessionSecrets) map[string]string {
	return map[string]string{
		"source":                  p.Frontend,
		"filename":                path.Base(p.File),
		buildArg + "cache-key":    cacheName(ref),
		buildArg + "secrets-hash": secrets.hash(cacheName(ref)),
	}
}

// cacheName keeps one app's files and cache mounts in the daemon apart from
// another's. The repository's name is the platform's choice.
func cacheName(ref imageRef) string {
	sum := sha256.Sum256([]byte(ref.named.Name()))
	return hex.EncodeToString(sum[:8])
}

// export pushes the image by its tag; the digest comes with the answer.
func (c *Client) export(ref imageRef) control.Export {
	attrs := map[string]string{"name": ref.named.Name() + ":" + ref.tag, "push": "true"}
	if slices.Contains(c.insecure, ref.host()) {
		attrs["registry.insecure"] = strconv.FormatBool(true)
	}
	return control.Export{Type: "image", Attrs: attrs}
}

// announce says in the build log what was decided.
func (p *solvePlan) announce(rep tasks.Reporter) {
	_, _ = fmt.Fprintf(rep.Stdout(), "building %s with %s\n", p.ref, p.what)
}

// image is what the daemon's answer says about the image.
func (p *solvePlan) image(a control.Result) (tasks.Image, error) {
	image := p.ref.image()
	if err := describeImage(&image, a.Metadata[imageConfigKey]); err != nil {
		return tasks.Image{}, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("read the built image's config: %w", err))
	}
	if !p.push {
		image.Unresolved = "it was built and not pushed"
		return image, nil
	}
	image.Digest = a.Export[exptypes.ExporterImageDigestKey]
	if image.Digest == "" {
		return tasks.Image{}, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("the builder pushed %s without a digest", p.ref))
	}
	return image, nil
}
