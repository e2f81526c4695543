package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// defaultNomad is where Nomad's own client looks for a Nomad.
const defaultNomad = "http://127.0.0.1:4646"

// endpointsTimeout bounds the question where a deployed app can be reached.
const endpointsTimeout = 5 * time.Second

// LocalParts are the adapters of the local commands.
type LocalParts struct {
	tasks.Parts
	// PingBuilder asks the builder whether it is there.
	PingBuilder func(context.Context) error
	// Endpoints lists where the ports of allocations can be reached.
	Endpoints func(ctx context.Context, at tasks.Cluster, allocations []string) ([]tasks.Endpoint, error)
	// Close ends them all.
	Close func()
}

// OpenLocalParts makes the service's own adapters. None of them connects yet.
func OpenLocalParts(cfg config.Config) (LocalParts, error) {
	a, err := newAdapters(cfg)
	if err != nil {
		return LocalParts{}, err
	}
	return LocalParts{Parts: a.parts(), PingBuilder: a.builder.Ping, Endpoints: a.nomad.Endpoints, Close: a.close}, nil
}

// Local carries out what an engineer asks for on a project of their own: the
// steps and adapters of the service, without NATS.
type Local struct {
	host    Host
	parts   LocalParts
	handler *tasks.Handler
}

// NewLocal makes a Local, whose Close closes the parts.
func NewLocal(host Host, parts LocalParts) *Local {
	return &Local{host: host, parts: parts, handler: tasks.NewHandler(parts.Parts, policy(host.Config))}
}

// Close closes the parts.
func (l *Local) Close() { l.parts.Close() }

// LocalWork is one goal for one project, ready to run.
type LocalWork struct {
	// Redactor hides the project's secrets and those of the settings.
	Redactor *redact.Redactor
	// Nomad is the address that the work is for, without what must not be seen.
	Nomad string
	// Warnings are plain sentences.
	Warnings []string

	local tasks.Local
}

// Prepare finds the values of the project's secrets: those given by name, else
// those of the environment.
func (l *Local) Prepare(goal tasks.Goal, p LocalProject, given map[string]string) (LocalWork, error) {
	s := secretSource{cfg: l.host.Config, project: p.Project, given: given}
	secrets, err := s.secrets()
	if err != nil {
		return LocalWork{}, err
	}
	return LocalWork{
		Redactor: l.host.Redactor.With(s.values...),
		Nomad:    redact.URL(nomadAddress(l.host.Config, p.Project)),
		Warnings: append(p.Warnings, s.warnings...),
		local: tasks.Local{
			Goal: goal, Dir: p.Dir, Project: p.Project, VariableFiles: p.VariableFiles, Secrets: secrets,
		},
	}, nil
}

func nomadAddress(cfg config.Config, p tasks.Project) string {
	switch {
	case p.Deploy.NomadAddress != "":
		return p.Deploy.NomadAddress
	case cfg.Nomad.Address != "":
		return cfg.Nomad.Address
	default:
		return defaultNomad
	}
}

// LocalResult is what became of the work; the JSON is what -o json prints.
type LocalResult struct {
	Goal tasks.Goal `json:"command"`
	OK   bool       `json:"ok"`
	Job  string     `json:"job"`
	// Nomad is the address of the cluster; empty for a build.
	Nomad string `json:"nomad,omitempty"`
	// Image is name@digest where it was pushed or resolved, else name:tag.
	Image        string           `json:"image,omitempty"`
	JobVersion   *uint64          `json:"job_version,omitempty"`
	DeploymentID string           `json:"deployment_id,omitempty"`
	Allocations  []string         `json:"allocations,omitempty"`
	Endpoints    []tasks.Endpoint `json:"endpoints,omitempty"`
	Plan         *tasks.JobPlan   `json:"plan,omitempty"`
	Warnings     []string         `json:"warnings,omitempty"`
	Seconds      float64          `json:"seconds"`
	Failure      *LocalFailure    `json:"failure,omitempty"`

	// Pushed is true where the image has a digest of its registry.
	Pushed bool `json:"pushed"`
	// Registered is true once Nomad has accepted the job.
	Registered bool `json:"-"`
}

// LocalFailure says why work did not reach its goal.
type LocalFailure struct {
	Reason  tasks.Reason `json:"reason"`
	Message string       `json:"message"`
	// Hint says what to do about it; it may be empty.
	Hint string `json:"hint,omitempty"`
}

// Error is the sentence for a person.
func (f *LocalFailure) Error() string {
	if f.Hint == "" {
		return f.Message
	}
	return f.Message + ": " + f.Hint
}

// Run does the work and leaves nothing behind in the file system. Where it
// fails, the error is the result's *LocalFailure; where ctx was cancelled, its
// reason is cancelled.
func (l *Local) Run(ctx context.Context, w LocalWork, rep tasks.Reporter) (LocalResult, error) {
	began := time.Now()
	result, err := l.run(ctx, w, rep)
	if ctx.Err() != nil && err != nil {
		err = interrupted(w, result)
	}
	out := l.describe(w, result)
	if err == nil && result.Registered {
		out.Endpoints = l.endpoints(ctx, w, result)
	}
	out.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	if err == nil {
		out.OK = true
		return out, nil
	}
	out.Failure = explain(tasks.AsFailure(err), w)
	return out, out.Failure
}

func (l *Local) run(ctx context.Context, w LocalWork, rep tasks.Reporter) (tasks.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.host.Config.Worker.TaskTimeout, tasks.ErrTimeout)
	defer cancel()
	if err := l.preflight(ctx, w); err != nil {
		return tasks.Result{}, err
	}
	workspace, err := openWorkspace(l.host)
	if err != nil {
		return tasks.Result{}, err
	}
	result, err := l.inWorkspace(ctx, w, rep, workspace)
	return result, errors.Join(err, workspace.Close())
}

// directories are what makes a work directory.
type directories interface {
	Create(name string) (string, error)
}

func (l *Local) inWorkspace(ctx context.Context, w LocalWork, rep tasks.Reporter, in directories) (tasks.Result, error) {
	dir, err := in.Create(tasks.NewID())
	if err != nil {
		return tasks.Result{}, err
	}
	result, err := l.handler.HandleLocal(ctx, w.local, tasks.Attempt{Dir: dir, Last: true, Redactor: w.Redactor}, rep)
	if err == nil && len(result.Undestroyed) > 0 {
		err = result.Undestroyed[0].Failure
	}
	return result, err
}

// preflight asks who will be needed, so that nobody waits for a build that
// cannot be deployed.
func (l *Local) preflight(ctx context.Context, w LocalWork) error {
	p, goal := w.local.Project, w.local.Goal
	builds := p.Build.Use != tasks.BuilderNoop && (goal == tasks.GoalBuild || goal == tasks.GoalUp)
	deploys := goal == tasks.GoalDestroy || p.Deploy.Use != tasks.DeployerNoop && goal != tasks.GoalBuild
	if builds && deploys && p.Registry == nil {
		return tasks.Fail(tasks.ReasonConfigInvalid, "the app has no registry block, so Nomad could not pull what is built", nil)
	}
	if builds {
		if err := l.parts.PingBuilder(ctx); err != nil {
			return err
		}
	}
	if deploys {
		_, err := l.parts.Deployer.Info(ctx, tasks.Cluster{Address: p.Deploy.NomadAddress, Token: w.local.Secrets.NomadToken})
		return err
	}
	return nil
}

func (l *Local) describe(w LocalWork, result tasks.Result) LocalResult {
	out := LocalResult{
		Goal: w.local.Goal, Job: w.local.Project.Deploy.DeploymentName, Nomad: w.Nomad,
		Warnings: clean(w.Redactor, append(w.Warnings[:len(w.Warnings):len(w.Warnings)], result.Warnings...)), Registered: result.Registered,
	}
	if result.Plan != nil {
		plan := *result.Plan
		plan.Changes, plan.Warnings = clean(w.Redactor, plan.Changes), w.Redactor.String(plan.Warnings)
		out.Plan = &plan
	}
	if w.local.Goal == tasks.GoalBuild {
		out.Nomad = ""
	}
	if result.Image.Name != "" {
		out.Image, out.Pushed = result.Image.Reference(), result.Image.Digest != ""
	}
	if result.Registered {
		out.DeploymentID, out.Allocations = result.Deployed.DeploymentID, result.Deployed.Allocations
		out.JobVersion = &result.Deployed.JobVersion
	}
	return out
}

// clean makes lines that others have written safe to show.
func clean(redactor *redact.Redactor, lines []string) []string {
	var cleaned []string
	for _, line := range lines {
		cleaned = append(cleaned, redactor.String(redact.CleanLine(line)))
	}
	return cleaned
}

// endpoints are for the reader's comfort: where they cannot be had, the
// deployment has succeeded all the same.
func (l *Local) endpoints(ctx context.Context, w LocalWork, result tasks.Result) []tasks.Endpoint {
	ctx, cancel := context.WithTimeout(ctx, endpointsTimeout)
	defer cancel()
	at := tasks.Cluster{Address: w.local.Project.Deploy.NomadAddress, Token: w.local.Secrets.NomadToken}
	found, err := l.parts.Endpoints(ctx, at, result.Deployed.Allocations)
	if err != nil {
		return nil
	}
	return found
}

// interrupted says what goes on without us.
func interrupted(w LocalWork, result tasks.Result) error {
	message := "interrupted"
	if result.Registered {
		message = fmt.Sprintf("interrupted: Nomad goes on with job %s without us", w.local.Project.Deploy.DeploymentName)
	}
	return tasks.Fail(tasks.ReasonCancelled, message, nil)
}

// hints say what an engineer can do about a failure.
var hints = map[tasks.Reason]string{
	tasks.ReasonBuilderDown:     "start buildkitd, or set BUILDKIT_HOST to its address (unix:///path or tcp://host:1234)",
	tasks.ReasonNomadDown:       "set NOMAD_ADDR, or nomad_addr in the deploy block, to a Nomad that answers",
	tasks.ReasonNomadAuth:       "set NOMAD_TOKEN to a token that may do this",
	tasks.ReasonRegistryAuth:    "set REGISTRY_USERNAME and REGISTRY_PASSWORD for the registry of the image",
	tasks.ReasonImageNotFound:   "`dispatchd build` makes and pushes it, `dispatchd up` deploys it too",
	tasks.ReasonConfigInvalid:   "`dispatchd validate` says where",
	tasks.ReasonSecretsDenied:   "set VAULT_SECRET_ID to the secret id of the role",
	tasks.ReasonPlacementFailed: "ask for less in resources, or add a node",
}

// explain makes the failure of the steps one for a person. What only an
// operator may see elsewhere is shown: the operator is who reads it.
func explain(f *tasks.Failure, w LocalWork) *LocalFailure {
	out := &LocalFailure{Reason: f.Reason, Message: f.Message, Hint: hints[f.Reason]}
	if f.Reason == tasks.ReasonInternal {
		out.Message = f.Error()
	}
	// A build misses a base image, which no build of ours would make.
	if w.local.Goal != tasks.GoalDeploy && f.Reason == tasks.ReasonImageNotFound {
		out.Hint = "correct its name or tag; a private one needs credentials"
	}
	if w.local.Project.Registry == nil && f.Reason == tasks.ReasonConfigInvalid {
		out.Hint = `add registry { use = "docker", image = "HOST/NAME" } to the app`
	}
	out.Message = w.Redactor.String(out.Message)
	return out
}
