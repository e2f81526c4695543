package tasks

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// resolve pins the image that the task names to the digest that its tag has now.
func (h *Handler) resolve(ctx context.Context, r *run) error {
	image, err := h.parts.Resolver.Resolve(ctx, r.image.Name, r.image.Tag, h.credentialsFor(r, r.image.Name))
	if err != nil {
		return err
	}
	r.image = image
	r.result.Image = image
	if image.Digest == "" {
		r.warn("%s is deployed by its tag with a forced pull: %s", image.Reference(), image.Unresolved)
		return nil
	}
	r.say("%s:%s is %s", image.Name, image.Tag, image.Digest)
	return nil
}

// render makes the job from the pack and vars.hcl, which by now names the
// image by its digest and the ports that it exposes.
func (h *Handler) render(ctx context.Context, r *run) error {
	if err := h.writeVariables(r); err != nil {
		return err
	}
	variables, err := os.ReadFile(filepath.Join(r.at.Dir, variablesFile))
	if err != nil {
		return Fail(ReasonInternal, "", err)
	}
	d := r.task.Deploy
	info, err := h.parts.Deployer.Info(ctx, r.cluster)
	if err != nil {
		return err
	}
	if err := checkPlatform(r.image, info); err != nil {
		return err
	}
	r.job, err = h.parts.Renderer.Render(ctx, RenderRequest{
		Deploy:          r.project.Deploy,
		RegistryToken:   h.packToken(d),
		Variables:       variables,
		ForcePull:       r.image.Digest == "" && !r.image.Loaded,
		ServiceProvider: h.serviceProvider(d, info),
		VaultByRole:     info.VaultByRole,
		Dir:             filepath.Join(r.at.Dir, packDir),
		Report:          r.rep,
	})
	return err
}

// register hands the job to Nomad by check-and-set.
func (h *Handler) register(ctx context.Context, r *run) error {
	registration, err := h.parts.Deployer.Register(ctx, r.cluster, r.spec())
	if err != nil {
		return err
	}
	r.registration = registration
	r.result.Registered = true
	verb := "registered"
	if registration.Resumed {
		verb = "already registered"
	}
	r.say("job %s %s, version %d", registration.JobID, verb, registration.JobVersion)
	if registration.Warnings != "" {
		r.warn("Nomad: %s", registration.Warnings)
	}
	return nil
}

// spec is the rendered job.
func (r *run) spec() JobSpec {
	return JobSpec{HCL: r.job, JobID: r.project.Deploy.DeploymentName, TaskID: r.task.ID, Guard: r.at.Guard}
}

// watch follows the job until it is healthy.
func (h *Handler) watch(ctx context.Context, r *run) error {
	deployed, err := h.parts.Deployer.Watch(ctx, r.cluster, r.registration, r.rep)
	if err != nil {
		return err
	}
	r.result.Deployed = deployed
	r.say("job %s version %d is healthy", r.registration.JobID, deployed.JobVersion)
	return nil
}

// packToken returns the pack registry's token; var.NAME reads the environment.
func (h *Handler) packToken(d *Deploy) Secret {
	token := d.PackRegistry.RegistryToken
	name, isVariable := strings.CutPrefix(token.Reveal(), "var.")
	if !isVariable || h.policy.LookupEnv == nil {
		return token
	}
	value, _ := h.policy.LookupEnv(name)
	return Secret(value)
}

// serviceProvider chooses with whom the job's services are registered.
func (h *Handler) serviceProvider(d *Deploy, info ClusterInfo) string {
	if h.policy.ServiceProvider != "" {
		return h.policy.ServiceProvider
	}
	if d.Consul.ServiceName != "" && info.Consul {
		return "consul"
	}
	return "nomad"
}
