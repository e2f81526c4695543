package service

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/backend"
	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/ops"
	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
	"github.com/dispatchd/dispatchd/internal/vault"
	"github.com/dispatchd/dispatchd/internal/worker"
	"github.com/dispatchd/dispatchd/packs"
)

// packTokenPrefix is how the environment variables begin that a pack
// registry's token may name, beside REGISTRY_TOKEN. Any other would let a task
// send a secret of ours wherever it likes.
const packTokenPrefix = "DISPATCHD_PACK_TOKEN_"

// adapters are the parts that reach outside, but for NATS.
type adapters struct {
	builder  *buildkit.Client
	registry *buildkit.Registry
	nomad    *nomad.Client
	git      *git.Client
	uploads  *upload.Client
	renderer *pack.Renderer
	vault    *vault.Client
	platform *backend.Client
}

// newAdapters makes them all. None of them connects yet: the service starts
// whatever answers.
func newAdapters(cfg config.Config) (*adapters, error) {
	cloner, err := git.New(git.Options{
		GitHubURL: cfg.Git.GitHubURL, GitLabURL: cfg.Git.GitLabURL, BitbucketURL: cfg.Git.BitbucketURL,
		GitHubSSHURL: cfg.Git.GitHubSSHURL, GitLabSSHURL: cfg.Git.GitLabSSHURL, BitbucketSSHURL: cfg.Git.BitbucketSSHURL,
		KnownHosts: cfg.Git.KnownHosts, MaxBytes: int64(cfg.Git.MaxBytes),
	})
	if err != nil {
		return nil, fmt.Errorf("set up git: %w", err)
	}
	uploads, err := newUploads(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up uploads: %w", err)
	}
	renderer, err := newRegistryRenderer(cfg, cloner)
	if err != nil {
		return nil, fmt.Errorf("set up packs: %w", err)
	}
	builder, err := buildkit.New(buildOptions(cfg))
	if err != nil {
		return nil, fmt.Errorf("set up BuildKit: %w", err)
	}
	deployer, err := nomad.New(nomad.Options{
		Address: cfg.Nomad.Address, Token: tasks.Secret(cfg.Nomad.Token.Reveal()),
		Namespace: cfg.Nomad.Namespace, Region: cfg.Nomad.Region,
	})
	if err != nil {
		return nil, fmt.Errorf("set up Nomad: %w", err)
	}
	secrets, err := newVault(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up Vault: %w", err)
	}
	registry := buildkit.NewRegistry(buildkit.RegistryOptions{InsecureRegistries: cfg.Registry.Insecure})
	return &adapters{
		builder: builder, registry: registry, nomad: deployer, git: cloner, uploads: uploads, renderer: renderer,
		vault: secrets, platform: newPlatform(cfg, zap.NewNop()),
	}, nil
}

// handlerOf is the host's own handler, or the steps over the adapters.
func (a *adapters) handlerOf(host Host) worker.Handler {
	if host.Handler != nil {
		return host.Handler
	}
	return a.handler(host.Config)
}

// buildOptions say where the builder is and who plans for it.
func buildOptions(cfg config.Config) buildkit.Options {
	return buildkit.Options{
		Address: cfg.BuildKit.Host, InsecureRegistries: cfg.Registry.Insecure, DockerHost: cfg.BuildKit.DockerHost,
		Planner: planner.New(planner.Options{
			Nixpacks: cfg.BuildKit.Nixpacks, Railpack: cfg.BuildKit.Railpack, RailpackFrontend: cfg.BuildKit.Frontend,
		}),
	}
}

// handler makes the steps over the adapters.
func (a *adapters) handler(cfg config.Config) *tasks.Handler {
	return tasks.NewHandler(a.parts(), policy(cfg))
}

func (a *adapters) parts() tasks.Parts {
	return tasks.Parts{
		Cloner:     a.git,
		Configurer: hcl.Generator{},
		Builder:    a.builder,
		Resolver:   a.registry,
		Renderer:   a.renderer,
		Deployer:   a.nomad,
		Uploads:    a.uploads,
		Secrets:    a.vault,
		Platform:   a.platform,
		Planner:    a.nomad,
	}
}

// newRenderer makes a renderer that asks nobody.
func newRenderer() *pack.Renderer { return pack.New(packs.Files(), pack.Options{}) }

// policy is what the settings decide for every task.
func policy(cfg config.Config) tasks.Policy {
	p := tasks.Policy{
		PushRegistry:    cfg.Registry.Push,
		RegistryHost:    cfg.Registry.CredentialHost(),
		ServiceProvider: cfg.ServiceProvider,
		LookupEnv:       lookupPackToken,
		SecretsByToken:  cfg.Vault.Token.Set(),
		Retry:           tasks.Retry{Jitter: rand.Float64},
	}
	if own, ok := cfg.Registry.CredentialsFor(cfg.Registry.CredentialHost()); ok {
		p.RegistryCredentials = tasks.Credentials{
			Username: own.Username, Password: tasks.Secret(own.Password.Reveal()), Token: tasks.Secret(own.Token.Reveal()),
		}
	}
	return p
}

func lookupPackToken(name string) (string, bool) {
	if name != "REGISTRY_TOKEN" && !strings.HasPrefix(name, packTokenPrefix) {
		return "", false
	}
	return os.LookupEnv(name)
}

// probes ask each dependency that a setting names.
func (a *adapters) probes(cfg config.Config) []ops.Probe {
	probes := []ops.Probe{
		{Name: "nomad", Ask: func(ctx context.Context) error {
			_, err := a.nomad.Info(ctx, tasks.Cluster{})
			return err
		}},
		{Name: "buildkit", Ask: a.builder.Ping},
	}
	if host := pushHost(cfg); host != "" {
		probes = append(probes, ops.Probe{Name: "registry", Ask: func(ctx context.Context) error {
			return a.registry.Ping(ctx, host)
		}})
	}
	return probes
}

// pushHost is the registry that the settings name; empty where they name none.
func pushHost(cfg config.Config) string {
	if cfg.Registry.Push == "" && cfg.Registry.Host == "" {
		return ""
	}
	return cfg.Registry.CredentialHost()
}

func (a *adapters) close() {
	a.registry.Close()
	a.uploads.Close()
	a.nomad.Close()
	a.vault.Close()
	a.platform.Close()
}
