package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dispatchd/dispatchd/internal/embednats"
)

// Bed is a set of running parts. Those that were not asked for are nil. Its
// methods, and those of one part, are for one goroutine at a time.
type Bed struct {
	// Dir holds data while the bed lives, and the logs in Dir/log.
	Dir   string
	Tools Tools
	// Login is the user and password of the registry and the git server.
	Login Login

	Docker         *Docker
	BuildKit       *BuildKit
	Nomad          *Nomad
	Registry       *Registry
	DebianRegistry *DebianRegistry
	Git            *Git
	// NATS is a server in this process; Shutdown and Restart take it away and
	// bring it back with what it had stored.
	NATS *embednats.Server

	slot      *slot
	log       *lineWriter
	temporary bool
	closed    bool
}

// Start makes a bed: the tools, then every part that is needed, side by side
// where they do not depend on each other. Where one does not start, the others
// are stopped again and the error says what it said.
func Start(ctx context.Context, opts Options) (*Bed, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := CheckHost(); err != nil {
		return nil, err
	}
	if opts.Tools == nil {
		tools, err := Ensure(ctx, opts)
		if err != nil {
			return nil, err
		}
		opts.Tools = &tools
	}
	b, err := newBed(opts)
	if err != nil {
		return nil, err
	}
	if err := b.startParts(ctx, opts); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func newBed(opts Options) (*Bed, error) {
	b := &Bed{Tools: *opts.Tools, Login: opts.Login, log: &lineWriter{w: opts.Log}}
	if err := b.makeDir(opts.Dir); err != nil {
		return nil, fmt.Errorf("make the bed's directory: %w", err)
	}
	var err error
	b.slot, err = claimSlot(b.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.data("tmp"), 0o700); err != nil {
		return nil, errors.Join(err, b.slot.release())
	}
	return b, nil
}

// makeDir resolves links, because the kernel lists mounts by their real path.
func (b *Bed) makeDir(dir string) (err error) {
	if dir == "" {
		b.temporary = true
		if dir, err = os.MkdirTemp("", "dispatchd-bed-"); err != nil {
			return err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return err
	}
	b.Dir, err = filepath.EvalSymlinks(dir)
	return err
}

func (b *Bed) startParts(ctx context.Context, opts Options) error {
	begin := time.Now()
	if err := b.startServers(ctx, opts); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	if opts.Need.has(NeedBuildKit) {
		g.Go(func() (err error) {
			if b.BuildKit, err = b.newBuildKit(); err != nil {
				return err
			}
			return b.timed("buildkitd", func() error { return b.BuildKit.Start(gctx) })
		})
	}
	g.Go(func() error { return b.startCluster(gctx, opts) })
	if err := g.Wait(); err != nil {
		return err
	}
	b.log.printf("test bed is up after %s", time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// startServers starts what is in this process, and what the daemons'
// configurations name.
func (b *Bed) startServers(ctx context.Context, opts Options) (err error) {
	if opts.Need.has(NeedRegistry) {
		if b.Registry, err = b.newRegistry(); err != nil {
			return err
		}
		if err := b.Registry.Start(ctx); err != nil {
			return err
		}
	}
	if opts.Need.has(NeedGit) {
		if b.Git, err = b.newGit(); err != nil {
			return err
		}
		if err := b.Git.Start(ctx); err != nil {
			return err
		}
	}
	if opts.Need.has(NeedNATS) {
		if err := b.startNATS(opts.NATS); err != nil {
			return err
		}
	}
	if !opts.Need.has(NeedDebianRegistry) {
		return nil
	}
	if b.DebianRegistry, err = b.newDebianRegistry(); err != nil {
		return err
	}
	return b.timed("docker-registry", func() error { return b.DebianRegistry.Start(ctx) })
}

func (b *Bed) startNATS(o embednats.Options) (err error) {
	o.StoreDir = b.data("nats")
	if o.Port, err = b.slot.port(); err != nil {
		return err
	}
	b.NATS, err = embednats.Start(o)
	return err
}

// startCluster starts Docker, then Nomad, whose driver looks for it.
func (b *Bed) startCluster(ctx context.Context, opts Options) (err error) {
	if opts.Need.has(NeedDocker) {
		if b.Docker, err = b.newDocker(); err != nil {
			return err
		}
		if err := b.timed("dockerd", func() error { return b.Docker.Start(ctx) }); err != nil {
			return err
		}
	}
	if !opts.Need.has(NeedNomad) {
		return nil
	}
	if b.Nomad, err = b.newNomad(opts.Nomad); err != nil {
		return err
	}
	return b.timed("nomad", func() error { return b.Nomad.Start(ctx) })
}

func (b *Bed) timed(what string, start func() error) error {
	begin := time.Now()
	if err := start(); err != nil {
		return err
	}
	b.log.printf("%s answers after %s", what, time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// Close ends every part, Nomad before Docker because its tasks are Docker's
// containers, then removes whatever is left and says what it could not remove.
// The logs stay where Options.Dir was given. A second Close does nothing.
func (b *Bed) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	begin := time.Now()
	err := errors.Join(b.stopParts(), b.slot.sweep(b.Dir))
	if left := b.slot.leftovers(b.Dir); len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("the bed left behind: %s", strings.Join(left, "; ")))
	}
	err = errors.Join(err, b.slot.release())
	if b.temporary {
		err = errors.Join(err, os.RemoveAll(b.Dir))
	}
	b.log.printf("test bed is gone after %s", time.Since(begin).Round(10*time.Millisecond))
	return err
}

func (b *Bed) stopParts() error {
	var errs []error
	if b.Nomad != nil {
		errs = append(errs, b.Nomad.Stop())
	}
	var g errgroup.Group
	if b.Docker != nil {
		g.Go(b.Docker.Stop)
	}
	if b.BuildKit != nil {
		g.Go(b.BuildKit.Stop)
	}
	errs = append(errs, g.Wait())
	if b.DebianRegistry != nil {
		errs = append(errs, b.DebianRegistry.Stop())
	}
	if b.Registry != nil {
		errs = append(errs, b.Registry.Stop())
	}
	if b.Git != nil {
		errs = append(errs, b.Git.Stop())
	}
	if b.NATS != nil {
		b.NATS.Shutdown()
	}
	return errors.Join(errs...)
}

// Leftovers lists what of the bed is still on the host, one sentence each:
// processes, mounts, the bridge, cgroups, directories. After Close it is empty.
func (b *Bed) Leftovers() []string { return b.slot.leftovers(b.Dir) }

// SlotDir is the run directory with the bed's sockets and configurations; no
// other bed has it at the same time.
func (b *Bed) SlotDir() string { return b.slot.dir() }

// Port returns a port on 127.0.0.1 that nobody else of the bed gets, for a
// program under test.
func (b *Bed) Port() (int, error) { return b.slot.port() }

// Env returns the variables with which dispatchd finds the bed's parts.
func (b *Bed) Env() []string {
	var env []string
	if b.Nomad != nil {
		env = append(env, "NOMAD_ADDR="+b.Nomad.Addr())
		if token := b.Nomad.Token(); token != "" {
			env = append(env, "NOMAD_TOKEN="+token)
		}
	}
	if b.BuildKit != nil {
		env = append(env, "BUILDKIT_HOST="+b.BuildKit.Addr())
	}
	if b.NATS != nil {
		env = append(env, "NATS_SERVERS="+b.NATS.ClientURL())
	}
	if b.Registry != nil {
		env = append(env, "REGISTRY_USERNAME="+b.Login.Username, "REGISTRY_PASSWORD="+b.Login.Password)
	}
	return env
}

// LogTail returns the end of what a part said: dockerd, buildkitd, nomad or
// docker-registry.
func (b *Bed) LogTail(part string, lines int) string { return tail(b.logFile(part), lines) }

func (b *Bed) data(name string) string { return filepath.Join(b.Dir, "data", name) }

func (b *Bed) logFile(part string) string { return filepath.Join(b.Dir, "log", part+".log") }

// env is the whole environment of a daemon: nothing of the user's reaches it,
// and its mark lets us find what it started.
func (b *Bed) env() []string {
	return []string{"PATH=" + searchPath(), "HOME=" + b.Dir, "TMPDIR=" + b.data("tmp"), "LANG=C.UTF-8", b.slot.mark()}
}

// registries lists the registries that speak plain HTTP.
func (b *Bed) registries() []string {
	var addrs []string
	if b.Registry != nil {
		addrs = append(addrs, b.Registry.Addr())
	}
	if b.DebianRegistry != nil {
		addrs = append(addrs, b.DebianRegistry.Addr())
	}
	return addrs
}
