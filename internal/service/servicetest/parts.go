// Package servicetest has the adapters of the local commands that reach
// outside, in memory: tests see what was asked of them, and script what fails.
package servicetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Digest is that of every image.
const Digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Parts are a builder, a registry and a Nomad that do at once what they are
// asked. It is safe for concurrent use.
type Parts struct {
	// Fail holds an error for what is asked: ping, build, resolve, info,
	// register, watch or destroy.
	Fail map[string]error
	// OnBuild and OnWatch, where they are set, are called in place of the work.
	OnBuild, OnWatch func(ctx context.Context, rep tasks.Reporter) error
	// Secrets are what Vault holds.
	Secrets map[string]tasks.Secret

	mu    sync.Mutex
	asked []string
	// built, jobs and clusters are what came with the requests.
	built    []tasks.BuildRequest
	jobs     []string
	clusters []tasks.Cluster
}

var (
	_ tasks.Builder  = (*Parts)(nil)
	_ tasks.Resolver = (*Parts)(nil)
	_ tasks.Deployer = (*Parts)(nil)
	_ tasks.Planner  = (*Parts)(nil)

	_ tasks.SecretStore = (*Parts)(nil)
)

// Open has the service's own parts but for those that reach outside.
func (p *Parts) Open(cfg config.Config) (service.LocalParts, error) {
	parts, err := service.OpenLocalParts(cfg)
	if err != nil {
		return parts, err
	}
	parts.Builder, parts.Resolver, parts.Deployer, parts.Planner = p, p, p, p
	parts.Parts.Secrets = p
	parts.PingBuilder = func(context.Context) error { return p.ask("ping") }
	parts.Endpoints = func(context.Context, tasks.Cluster, []string) ([]tasks.Endpoint, error) {
		return []tasks.Endpoint{{Port: 8080, Address: "127.0.0.1:25000"}}, nil
	}
	return parts, nil
}

// Asked lists what was asked, in order.
func (p *Parts) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// Built are the builds that were asked for.
func (p *Parts) Built() []tasks.BuildRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.built)
}

// Jobs are the texts of the registered jobs.
func (p *Parts) Jobs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.jobs)
}

// Clusters are those that were asked for anything.
func (p *Parts) Clusters() []tasks.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.clusters)
}

func (p *Parts) ask(what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
	return p.Fail[what]
}

func (p *Parts) at(cluster tasks.Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clusters = append(p.clusters, cluster)
}

// Build says one line and pushes nothing.
func (p *Parts) Build(ctx context.Context, req tasks.BuildRequest, rep tasks.Reporter) (tasks.Image, error) {
	p.mu.Lock()
	p.built = append(p.built, req)
	p.mu.Unlock()
	_, _ = fmt.Fprintf(rep.Stdout(), "building %s:%s\n", req.Name, req.Tag)
	if p.OnBuild != nil {
		if err := p.OnBuild(ctx, rep); err != nil {
			return tasks.Image{}, err
		}
	}
	image := tasks.Image{Name: req.Name, Tag: req.Tag, Ports: []tasks.Port{{Number: 8080, Protocol: "tcp"}}}
	if req.Push {
		rep.Stage(tasks.StagePush)
		image.Digest = Digest
	}
	return image, p.ask("build")
}

// Read has the secrets at every path.
func (p *Parts) Read(context.Context, tasks.SecretQuery, tasks.Reporter) (map[string]tasks.Secret, error) {
	return p.Secrets, p.ask("secrets")
}

// Resolve knows every image.
func (p *Parts) Resolve(_ context.Context, name, tag string, _ tasks.Credentials) (tasks.Image, error) {
	return tasks.Image{Name: name, Tag: tag, Digest: Digest, Ports: []tasks.Port{{Number: 8080, Protocol: "tcp"}}}, p.ask("resolve")
}

// Info is that of a plain Nomad.
func (p *Parts) Info(_ context.Context, at tasks.Cluster) (tasks.ClusterInfo, error) {
	p.at(at)
	return tasks.ClusterInfo{Version: "1.6.1"}, p.ask("info")
}

// Register takes every job.
func (p *Parts) Register(_ context.Context, at tasks.Cluster, spec tasks.JobSpec) (tasks.Registration, error) {
	p.at(at)
	p.mu.Lock()
	p.jobs = append(p.jobs, string(spec.HCL))
	p.mu.Unlock()
	return tasks.Registration{JobID: spec.JobID, JobVersion: 3}, p.ask("register")
}

// Plan adds every job.
func (p *Parts) Plan(_ context.Context, at tasks.Cluster, spec tasks.JobSpec) (tasks.JobPlan, error) {
	p.at(at)
	return tasks.JobPlan{Changes: []string{"+ job " + spec.JobID}}, p.ask("plan")
}

// Watch sees every job healthy.
func (p *Parts) Watch(ctx context.Context, _ tasks.Cluster, reg tasks.Registration, rep tasks.Reporter) (tasks.Deployed, error) {
	if p.OnWatch != nil {
		if err := p.OnWatch(ctx, rep); err != nil {
			return tasks.Deployed{}, err
		}
	}
	return tasks.Deployed{DeploymentID: "dep-1", JobVersion: reg.JobVersion, Allocations: []string{"alloc-1"}}, p.ask("watch")
}

// Destroy removes every job.
func (p *Parts) Destroy(_ context.Context, at tasks.Cluster, _ tasks.DestroySpec, _ tasks.Reporter) error {
	p.at(at)
	return p.ask("destroy")
}
