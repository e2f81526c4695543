package tasks

import (
	"context"
	"slices"
)

// Goal is what an engineer asks for on a project of their own.
type Goal string

// The goals.
const (
	GoalBuild   Goal = "build"
	GoalDeploy  Goal = "deploy"
	GoalUp      Goal = "up"
	GoalDestroy Goal = "destroy"
	// GoalPlan is a deploy that only asks Nomad what it would change.
	GoalPlan Goal = "plan"
)

// StagePlan is the last stage of GoalPlan. No task has it.
const StagePlan Stage = "plan"

// JobPlan is what registering a job would change.
type JobPlan struct {
	// Changes are lines for a person, indented; none where nothing differs.
	Changes []string `json:"changes"`
	// Unplaced say for which groups there is no room, and why.
	Unplaced []string `json:"unplaced,omitempty"`
	// Warnings are Nomad's.
	Warnings string `json:"warnings,omitempty"`
}

// Planner asks Nomad what registering a job would change, and changes nothing.
// Errors are those of a Deployer.
type Planner interface {
	Plan(ctx context.Context, at Cluster, spec JobSpec) (JobPlan, error)
}

// Local is a goal for a project on an engineer's own machine: a
// cloudstation.hcl that a person wrote, beside the source that it builds. It
// takes the place of a task's params; the steps are those of the tasks.
type Local struct {
	Goal Goal
	// Dir is the root of the source. Nothing is written there.
	Dir string
	// Project is what cloudstation.hcl says.
	Project Project
	// VariableFiles are the project's, in their order.
	VariableFiles []VariableFile
	// Secrets are the values of the project's variables.
	Secrets LocalSecrets
}

// LocalSecrets are the values behind a project's secret variables; empty where
// nobody has set them.
type LocalSecrets struct {
	// Registry is for the registry of the project's image alone.
	Registry      Credentials
	PackToken     Secret
	NomadToken    Secret
	VaultSecretID Secret
}

// VariableFile is a file of variables that a person wrote.
type VariableFile struct {
	Name string
	Text []byte
}

// ProjectSecrets are the variables that a project's secrets come from.
type ProjectSecrets struct {
	RegistryUsername SecretVariable
	RegistryPassword SecretVariable
	PackToken        SecretVariable
	NomadToken       SecretVariable
	VaultSecretID    SecretVariable
}

// SecretVariable is a variable and the environment variables that may hold its
// value, the first that is set wins. The zero value is none.
type SecretVariable struct {
	Name string
	Env  []string
}

// Endpoint is a port of the app and where it can be reached.
type Endpoint struct {
	Port int `json:"port"`
	// Address is host:port.
	Address string `json:"address"`
}

// PreviewLocal works out what a project would run, like Preview: it asks
// nobody, and the image stays at its tag.
func (h *Handler) PreviewLocal(ctx context.Context, l Local) (Preview, error) {
	l.Goal = GoalDeploy
	r := &run{task: l.task(), local: &l}
	h.planLocal(r)
	variables, err := h.parts.Configurer.Variables(r.plan, r.image)
	if err != nil {
		return Preview{}, err
	}
	job, err := h.parts.Renderer.Render(ctx, RenderRequest{
		Deploy: r.project.Deploy, Variables: variables, ServiceProvider: h.serviceProvider(r.task.Deploy, ClusterInfo{}),
	})
	return Preview{Variables: variables, Job: job}, err
}

// HandleLocal carries out the goal of a local project, as Handle does a task.
// The attempt's directory takes what is generated.
func (h *Handler) HandleLocal(ctx context.Context, l Local, at Attempt, rep Reporter) (Result, error) {
	r := h.newRun(l.task(), at, rep)
	r.local = &l
	err := h.takeAll(ctx, h.localSteps(l.Goal), r)
	return r.result, err
}

// localSteps are the steps of a task without its clone.
func (h *Handler) localSteps(goal Goal) []step {
	configure := step{stage: StageConfigure, do: h.configureLocal}
	build := []step{
		configure,
		{stage: StageSecrets, do: h.readSecrets},
		{stage: StageBuild, do: h.build},
	}
	render := []step{
		configure,
		{stage: StageResolve, do: h.resolve},
		{stage: StageRender, do: h.render},
	}
	register := []step{
		{stage: StageRegister, do: h.register},
		{stage: StageWatch, do: h.watch},
	}
	switch goal {
	case GoalBuild:
		return build
	case GoalDeploy:
		return slices.Concat(render, register)
	case GoalPlan:
		return append(render, step{stage: StagePlan, do: h.planJob})
	case GoalUp:
		return slices.Concat(build, render[1:], register)
	default:
		return h.steps[KindDestroyJobPack]
	}
}

// planJob asks what registering the job would change.
func (h *Handler) planJob(ctx context.Context, r *run) error {
	if h.parts.Planner == nil {
		return Fail(ReasonUnsupported, "nobody can plan a job here", nil)
	}
	plan, err := h.parts.Planner.Plan(ctx, r.cluster, r.spec())
	r.result.Plan = &plan
	return err
}

// configureLocal takes the project as it was read, and writes its variables.
func (h *Handler) configureLocal(_ context.Context, r *run) error {
	h.planLocal(r)
	return h.writeVariables(r)
}

func (h *Handler) planLocal(r *run) {
	p := r.local.Project
	r.project = p
	r.plan = Plan{
		Deploy: r.task.Deploy, Builder: p.Build.Use, ImageName: p.Build.Name, ImageTag: p.Build.Tag,
		Push: p.Registry != nil && p.Build.Use != BuilderNoop, VariableFiles: r.local.VariableFiles,
	}
	r.image = h.LocalImage(p)
}

// LocalImage is the image of a project, before its digest is known: that of
// the registry block, where there is one. As in a task, a name without a
// registry goes to the operator's where an image is pushed.
func (h *Handler) LocalImage(p Project) Image {
	if p.Registry == nil || p.Build.Use == BuilderNoop {
		return Image{Name: p.Build.Name, Tag: p.Build.Tag}
	}
	image := Image{Name: p.Registry.Image, Tag: p.Registry.Tag}
	if h.policy.PushRegistry != "" && RegistryOf(image.Name) == DockerHub {
		image.Name = joinImage(h.policy.PushRegistry, "", image.Name)
	}
	return image
}

// task is the task that asks for the same.
func (l Local) task() Task {
	p := l.Project
	if l.Goal == GoalDestroy {
		job := DestroyJob{JobID: p.Deploy.DeploymentName, NomadAddress: p.Deploy.NomadAddress, NomadToken: l.Secrets.NomadToken}
		return Task{ID: NewID(), Kind: KindDestroyJobPack, Destroy: &Destroy{Jobs: []DestroyJob{job}}}
	}
	return Task{ID: NewID(), Kind: KindDeployRepository, Deploy: l.deploy()}
}

// deploy are the params that a platform would have sent.
func (l Local) deploy() *Deploy {
	p := l.Project
	d := &Deploy{
		JobID: p.Deploy.DeploymentName, DeploymentID: TargetToken(p.Deploy.DeploymentName), ProjectID: p.Name,
		ImageName: p.Build.Name, ImageTag: p.Build.Tag, Deployer: p.Deploy.Use,
		NomadAddress: p.Deploy.NomadAddress, NomadToken: l.Secrets.NomadToken,
		VaultAddress: p.Build.VaultAddress, RoleID: p.Build.RoleID, SecretID: l.Secrets.VaultSecretID, SecretsPath: p.Build.SecretsPath,
		PackRegistry: PackRegistry{RegistryToken: l.Secrets.PackToken},
		Build: Build{
			Builder: p.Build.Use, BuildArgs: p.Build.BuildArgs, StartCommand: p.Build.StartCommand,
			RegistryUsername: l.Secrets.Registry.Username, RegistryPassword: l.Secrets.Registry.Password,
		},
	}
	if p.Registry != nil && RegistryOf(p.Registry.Image) != DockerHub {
		d.Build.RegistryURL = RegistryOf(p.Registry.Image)
	}
	return d
}
