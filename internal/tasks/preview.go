package tasks

import "context"

// Preview is what a deploy task would run, worked out without asking anybody.
type Preview struct {
	// Project and Variables are the texts of cloudstation.hcl and vars.hcl, Job
	// is the rendered pack.
	Project   []byte
	Variables []byte
	Job       []byte
}

// Preview generates the files of a deploy task and renders its job. It reads
// and changes nothing outside: an empty builder is taken for csdocker, the
// image stays at its tag, and the cluster for a plain one.
func (h *Handler) Preview(ctx context.Context, t Task) (Preview, error) {
	if t.Deploy == nil {
		return Preview{}, Fail(ReasonUnsupported, "a "+string(t.Kind)+" has nothing to render", nil)
	}
	plan := h.previewPlan(t)
	project, err := h.parts.Configurer.Project(plan)
	if err != nil {
		return Preview{}, err
	}
	parsed, err := h.parts.Configurer.ParseProject(project)
	if err != nil {
		return Preview{}, err
	}
	variables, err := h.parts.Configurer.Variables(plan, Image{Name: plan.ImageName, Tag: plan.ImageTag})
	if err != nil {
		return Preview{}, err
	}
	job, err := h.parts.Renderer.Render(ctx, RenderRequest{
		Deploy: parsed.Deploy, RegistryToken: h.packToken(t.Deploy), Variables: variables,
		ServiceProvider: h.serviceProvider(t.Deploy, ClusterInfo{}),
	})
	return Preview{Project: project, Variables: variables, Job: job}, err
}

func (h *Handler) previewPlan(t Task) Plan {
	d := t.Deploy
	plan := Plan{Deploy: d, ImageName: d.ImageName, ImageTag: d.ImageTag, Builder: BuilderNoop}
	if !t.Kind.FromRepository() || d.Build.Builder == BuilderNoop {
		return plan
	}
	plan.Builder = d.Build.Builder
	if plan.Builder == BuilderDetect {
		plan.Builder = BuilderDocker
	}
	plan.ImageName, plan.Push = h.pushName(d), !bool(d.Build.DisablePush)
	return plan
}
