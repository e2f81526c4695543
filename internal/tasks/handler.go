package tasks

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Parts are the adapters that the steps need. Each is safe for concurrent use.
type Parts struct {
	Cloner     Cloner
	Configurer Configurer
	Builder    Builder
	Resolver   Resolver
	Renderer   Renderer
	Deployer   Deployer
	// Uploads and Secrets may be nil: then a task that needs one is unsupported.
	Uploads Uploads
	Secrets SecretStore
	// Platform may be nil: then no platform is told of anything.
	Platform Platform
	// Planner may be nil where no goal is GoalPlan.
	Planner Planner
}

// Policy is what an operator decides for every task.
type Policy struct {
	// PushRegistry is the host[/namespace] to which images of repositories go
	// where their name has no registry host; empty leaves names as they are.
	PushRegistry string
	// RegistryHost is the only host that RegistryCredentials are for.
	RegistryHost        string
	RegistryCredentials Credentials
	// ServiceProvider is "nomad", "consul" or empty: consul where the task
	// names a Consul service and Nomad has a Consul.
	ServiceProvider string
	// LookupEnv resolves a pack registry's token of the form var.NAME.
	LookupEnv func(name string) (string, bool)
	// SecretsByToken is true where the environment has a Vault token: then the
	// secrets of a task without a role are read with it.
	SecretsByToken bool
	// Retry says how a transient failure is retried inside one attempt.
	Retry Retry
}

// Attempt is one try at a task.
type Attempt struct {
	// Dir is the task's own work directory; it exists and is empty.
	Dir string
	// Last is true where a transient failure will not be tried again.
	Last bool
	// Guard is asked before each side effect; nil allows everything.
	Guard Guard
	// From is what earlier attempts have reached: the task goes on from there.
	From Checkpoint
	// Keep records what this attempt has reached, before the next stage begins.
	// Nil keeps nothing.
	Keep func(ctx context.Context, reached Checkpoint) error
	// Redactor hides secrets in what leaves the worker; nil where nothing does.
	Redactor Redactor
}

// Redactor hides secrets in everything that the attempt says. It is safe for
// concurrent use.
type Redactor interface {
	// Add makes it hide more, from then on.
	Add(secrets ...string)
	// String returns the text without what is hidden.
	String(text string) string
}

// Guard is asked right before a side effect. It returns nil while the task is
// ours, ErrLeaseLost once it is somebody else's, and waits where nobody can
// tell.
type Guard func(ctx context.Context) error

// Ask asks the guard; a nil one allows.
func (g Guard) Ask(ctx context.Context) error {
	if g == nil {
		return nil
	}
	return g(ctx)
}

// Handler carries out tasks: each kind is a list of steps.
type Handler struct {
	parts  Parts
	policy Policy
	steps  map[Kind][]step
}

// step is one named part of a task. It reads and fills the run.
type step struct {
	stage Stage
	do    func(ctx context.Context, r *run) error
	// retriesItself is true where the step repeats its parts, not the whole.
	retriesItself bool
}

// run is the state of one attempt at one task, filled by its steps in order.
type run struct {
	task Task
	// local is the project of an engineer's own machine; nil for a task.
	local *Local
	at    Attempt
	rep   Reporter
	// platform is whom the deployment may ask; nil where there is none.
	platform PlatformSession
	// secretsByToken is the policy's.
	secretsByToken bool

	plan         Plan
	project      Project
	secrets      map[string]Secret
	image        Image
	cluster      Cluster
	job          []byte
	registration Registration
	result       Result
}

// NewHandler returns a handler over the given adapters.
func NewHandler(parts Parts, policy Policy) *Handler {
	h := &Handler{parts: parts, policy: policy}
	deploy := []step{
		{stage: StageRender, do: h.render},
		{stage: StageRegister, do: h.register},
		{stage: StageWatch, do: h.watch},
	}
	repository := append([]step{
		{stage: StageClone, do: h.clone},
		{stage: StageConfigure, do: h.configure},
		{stage: StageSecrets, do: h.readSecrets},
		{stage: StageBuild, do: h.build},
		{stage: StageResolve, do: h.resolve},
	}, deploy...)
	h.steps = map[Kind][]step{
		KindDeployRepository:   repository,
		KindRedeployRepository: repository,
		KindDeployImage: append([]step{
			{stage: StageConfigure, do: h.configure},
			{stage: StageResolve, do: h.resolve},
		}, deploy...),
		KindDestroyJobPack: {{stage: StageDestroy, do: h.destroy, retriesItself: true}},
	}
	return h
}

// Handle runs the task's steps in order and stops at the first error. The
// result says how far it came, also beside an error. Where the context ended,
// the error is its cause.
func (h *Handler) Handle(ctx context.Context, t Task, at Attempt, rep Reporter) (Result, error) {
	steps, known := h.steps[t.Kind]
	if !known {
		return Result{}, Fail(ReasonUnsupported, fmt.Sprintf("unknown task %q", t.Kind), nil)
	}
	r := h.newRun(t, at, rep)
	r.takeUp()
	return h.walk(ctx, steps, r)
}

// newRun is the state in which an attempt begins.
func (h *Handler) newRun(t Task, at Attempt, rep Reporter) *run {
	r := &run{task: t, at: at, rep: rep, secretsByToken: h.policy.SecretsByToken}
	if d := t.Deploy; d != nil {
		r.cluster = Cluster{Address: d.NomadAddress, Token: d.NomadToken}
	}
	return r
}

// walk does the steps that the run wants, and tells the platform of them.
func (h *Handler) walk(ctx context.Context, steps []step, r *run) (Result, error) {
	follower := h.follow(ctx, r)
	defer follower.close()
	err := h.takeAll(ctx, steps, r)
	follower.end(err, r.at.Last)
	return r.result, err
}

// takeAll does the steps in order, up to the first error.
func (h *Handler) takeAll(ctx context.Context, steps []step, r *run) error {
	for _, s := range steps {
		if !r.wants(s.stage) {
			continue
		}
		r.rep.Stage(s.stage)
		if err := h.take(ctx, s, r); err != nil {
			return err
		}
		if err := r.keep(ctx, s.stage); err != nil {
			return endedOr(ctx, err)
		}
	}
	return nil
}

// take does one step, again where that may help.
func (h *Handler) take(ctx context.Context, s step, r *run) error {
	do := func(ctx context.Context) error { return s.do(ctx, r) }
	if s.retriesItself {
		return endedOr(ctx, do(ctx))
	}
	return h.policy.Retry.run(ctx, r.rep.Stderr(), do)
}

// wants reports whether a step has anything to do for this task. A step that
// has not asks nobody and leaves no stage behind.
func (r *run) wants(s Stage) bool {
	noopDeploy := r.task.Deploy != nil && r.task.Deploy.Deployer == DeployerNoop
	builds := r.plan.Builder != BuilderNoop && !r.hasImage()
	switch s {
	case StageClone:
		return !r.hasImage() && !r.hasJob()
	case StageConfigure:
		return !r.hasJob()
	case StageSecrets:
		return (builds && !r.hasJob() || r.hidesAgain()) && len(r.secretPaths()) > 0
	case StageBuild:
		return builds && !r.hasJob()
	case StageResolve:
		return !noopDeploy && !r.hasJob() && r.image.Digest == "" && !r.image.Loaded
	case StageRender, StageRegister:
		return !noopDeploy && !r.hasJob()
	case StageWatch, StagePlan:
		return !noopDeploy
	default:
		return true
	}
}

// say writes one line of our own into the build log.
func (r *run) say(format string, args ...any) { sayTo(r.rep.Stdout(), format, args...) }

// sayTo writes one line; a build log never fails a task.
func sayTo(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

// warn notes something that the customer should know of a task that goes on.
func (r *run) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.result.Warnings = append(r.result.Warnings, text)
	sayTo(r.rep.Stderr(), "warning: %s", text)
}

// Retry says how often and how soon a step that failed for a transient reason
// is tried again inside one attempt.
type Retry struct {
	// Times is how many tries follow the first; 4 where it is 0, none where negative.
	Times int
	// First is the wait before the first of them, doubled before each next one
	// up to Most; 1 s and 15 s where they are 0.
	First, Most time.Duration
	// Jitter returns a number in [0,1); half of each wait is scaled by it.
	// Nil means no jitter.
	Jitter func() float64
}
