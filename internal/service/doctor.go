package service

import (
	"context"
	"strings"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/doctor"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/traces"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Doctor asks everything that a worker with these settings needs whether it
// will do, also where the settings are wrong or nothing answers. It changes
// nothing. Progress is told what has not answered yet; it may be nil.
func Doctor(ctx context.Context, environ []string, progress func(waiting []string)) []doctor.Result {
	cfg, err := config.Load()
	checks := []doctor.Check{
		{Name: "settings", Run: settingsFound(cfg, err, environ).Check},
		{Name: "nats", Run: natsCheck(cfg).Check},
	}
	adapters, err := newAdapters(cfg)
	if err == nil {
		defer adapters.close()
		checks = append(checks, adapters.checks(cfg)...)
	}
	checks = append(checks, localChecks(cfg)...)
	checks = append(checks, furtherChecks(cfg)...)
	hide := redact.New(cfg.Secrets()...)
	return doctor.Run(ctx, checks, doctor.Options{Hide: hide.String, Progress: progress})
}

func settingsFound(cfg config.Config, err error, environ []string) doctor.Settings {
	found := doctor.Settings{Err: err, Warnings: cfg.Warnings(environ)}
	for _, s := range config.Settings(cfg) {
		if s.Source == config.SourceEnvironment {
			found.Set++
		}
	}
	return found
}

func natsCheck(cfg config.Config) doctor.NATS {
	n := cfg.NATS
	subjects := events.NewSubjects(n.StreamPrefix, n.SubjectRoot)
	return doctor.NATS{
		Connection: natsconn.Options{
			Servers: n.Servers, Seed: n.PrivateKey.Reveal(), Creds: n.Creds, CA: n.CA, Cert: n.Cert, Key: n.Key,
			Name: "dispatchd doctor", ConnectTimeout: n.ConnectTimeout,
		},
		Topology: topologyOf(Host{Config: cfg}), Legacy: subjects.Legacy(), Logs: []string{subjects.BuildLog("*"), subjects.BuildLogEnd("*")},
	}
}

// checks ask the parts that tasks use.
func (a *adapters) checks(cfg config.Config) []doctor.Check {
	checks := []doctor.Check{
		{Name: "nomad", Run: doctor.Nomad{Cluster: a.nomad, Drain: cfg.Worker.DrainTimeout + worker.DefaultStopGrace}.Check},
		{Name: "buildkit", Run: doctor.BuildKit{Daemon: a.builder}.Check},
	}
	if host := pushHost(cfg); host != "" {
		_, namespace, _ := strings.Cut(cfg.Registry.Push, "/")
		checks = append(checks, doctor.Check{Name: "registry", Run: doctor.Registry{
			Registry: a.registry, Host: host, Namespace: namespace, Push: cfg.Registry.Push != "",
			Credentials: policy(cfg).RegistryCredentials,
		}.Check})
	}
	if address := cfg.Vault.Address; address != "" {
		checks = append(checks, doctor.Check{Name: "vault", Run: func(ctx context.Context) []doctor.Result {
			return doctor.Vault(ctx, address, a.vault)
		}})
	}
	return checks
}

// localChecks look at this machine.
func localChecks(cfg config.Config) []doctor.Check {
	dir := doctor.WorkDir{Path: cfg.Worker.WorkDir, TaskBytes: int64(cfg.Git.MaxBytes), Slots: cfg.Worker.Slots}
	return []doctor.Check{{Name: "programs", Run: doctor.Programs{
		Nixpacks: cfg.BuildKit.Nixpacks, Railpack: cfg.BuildKit.Railpack,
	}.Check}, {Name: "workdir", Run: dir.Check}}
}

// furtherChecks ask what is there only where a setting names it.
func furtherChecks(cfg config.Config) []doctor.Check {
	web := doctor.NewHTTP()
	var checks []doctor.Check
	if address := cfg.Backend.URL; address != "" {
		checks = append(checks, doctor.Check{Name: "backend", Run: func(ctx context.Context) []doctor.Result { return web.Backend(ctx, address) }})
	}
	if settings := cfg.Traces.Settings(); settings.Enabled() {
		checks = append(checks, doctor.Check{Name: "traces", Run: func(ctx context.Context) []doctor.Result {
			return doctor.Traces(traces.Try(ctx, settings))
		}})
	}
	return checks
}
