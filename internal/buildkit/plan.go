package buildkit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
)

// frontend is the daemon's own; no image is pulled for it.
const frontend = "dockerfile.v0"

// imageConfigKey is where the frontend puts the image's config.
const imageConfigKey = exptypes.ExporterImageConfigKey

// ownArgs is the prefix of the build arguments that steer the builder itself.
const ownArgs = "BUILDKIT_"

// solvePlan is everything that is decided before the daemon is asked.
type solvePlan struct {
	ref        imageRef
	creds      tasks.Credentials
	push       bool
	context    string
	dockerfile string
	attrs      map[string]string
	// dropped are the names of the build arguments that a task may not set.
	dropped []string
	options client.SolveOpt
}

// plan turns a request into what the daemon is asked.
func (c *Client) plan(req tasks.BuildRequest, ref imageRef, source *sourceTree) (*solvePlan, error) {
	mounts, err := source.mounts()
	if err != nil {
		return nil, err
	}
	credentials, err := newSessionAuth(ref.host(), req.Credentials)
	if err != nil {
		return nil, tasks.Fail(tasks.ReasonInternal, "", err)
	}
	plan := &solvePlan{
		ref: ref, creds: req.Credentials, push: req.Push,
		context: cleanPath(req.Context), dockerfile: source.dockerfile,
	}
	plan.attrs, plan.dropped = frontendAttrs(req, ref, source.dockerfile)
	plan.options = client.SolveOpt{
		LocalMounts: mounts,
		SharedKey:   cacheName(ref),
		Session:     []session.Attachable{credentials},
		// The attributes are here too so that the daemon's build record names
		// the same build.
		FrontendAttrs: maps.Clone(plan.attrs),
	}
	if req.Push {
		plan.options.Exports = []client.ExportEntry{c.export(ref)}
	}
	return plan, nil
}

// frontendAttrs are the Dockerfile frontend's settings, and the names of the
// arguments that were left out of them.
func frontendAttrs(req tasks.BuildRequest, ref imageRef, dockerfile string) (attrs map[string]string, dropped []string) {
	attrs = map[string]string{
		"filename": dockerfile,
		// This is how a frontend is told that it was chosen by name: it builds
		// the Dockerfile itself, where a "# syntax=" line would otherwise pull
		// and run any image.
		"cmdline": frontend,
		// Cache mounts are named by the Dockerfile: two apps must not meet in one.
		"build-arg:BUILDKIT_CACHE_MOUNT_NS": cacheName(ref),
	}
	for _, name := range slices.Sorted(maps.Keys(req.BuildArgs)) {
		if strings.HasPrefix(strings.ToUpper(name), ownArgs) {
			dropped = append(dropped, name)
			continue
		}
		attrs["build-arg:"+name] = req.BuildArgs[name]
	}
	return attrs, dropped
}

// cacheName keeps one app's files and cache mounts in the daemon apart from
// another's. The repository's name is the platform's choice.
func cacheName(ref imageRef) string {
	sum := sha256.Sum256([]byte(ref.named.Name()))
	return hex.EncodeToString(sum[:8])
}

// export pushes the image by its tag; the digest comes with the answer.
func (c *Client) export(ref imageRef) client.ExportEntry {
	attrs := map[string]string{"name": ref.named.Name() + ":" + ref.tag, "push": "true"}
	if slices.Contains(c.insecure, ref.host()) {
		attrs["registry.insecure"] = strconv.FormatBool(true)
	}
	return client.ExportEntry{Type: client.ExporterImage, Attrs: attrs}
}

// request asks for the frontend's result.
func (p *solvePlan) request() gateway.SolveRequest {
	return gateway.SolveRequest{Frontend: frontend, FrontendOpt: p.attrs}
}

// announce says in the build log what was decided.
func (p *solvePlan) announce(rep tasks.Reporter) {
	_, _ = fmt.Fprintf(rep.Stdout(), "building %s with %s, context %s\n", p.ref, p.dockerfile, p.context)
	if len(p.dropped) > 0 {
		_, _ = fmt.Fprintf(rep.Stderr(), "build arguments left out, because %s… steers the builder: %s\n",
			ownArgs, strings.Join(p.dropped, ", "))
	}
}

// image is what the daemon's answer says about the image.
func (p *solvePlan) image(response map[string]string, config []byte) (tasks.Image, error) {
	image := p.ref.image()
	ports, err := exposedPorts(config)
	if err != nil {
		return tasks.Image{}, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("read the built image's config: %w", err))
	}
	image.Ports = ports
	if !p.push {
		image.Unresolved = "it was built and not pushed"
		return image, nil
	}
	image.Digest = response[exptypes.ExporterImageDigestKey]
	if image.Digest == "" {
		return tasks.Image{}, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("the builder pushed %s without a digest", p.ref))
	}
	return image, nil
}

// imageConfig is the part of an image's config that is read here.
type imageConfig struct {
	Config struct {
		ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	} `json:"config"`
}

// exposedPorts lists the TCP and UDP ports that an image's config exposes.
func exposedPorts(config []byte) ([]tasks.Port, error) {
	if len(config) == 0 {
		return nil, nil
	}
	var parsed imageConfig
	if err := json.Unmarshal(config, &parsed); err != nil {
		return nil, err
	}
	return sortPorts(maps.Keys(parsed.Config.ExposedPorts)), nil
}
