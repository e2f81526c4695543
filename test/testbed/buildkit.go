package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// BuildKit is a buildkitd of the bed's own. Its RUN steps use the host's
// network, so a build reaches the bed's registry and git server.
type BuildKit struct {
	bed    *Bed
	daemon daemon
}

const buildkitConfig = `root = %q

[grpc]
  address = [%q]

[otel]
  socketPath = %q

[worker.oci]
  enabled = true
  snapshotter = "auto"
  networkMode = "host"
  binary = %q
  defaultCgroupParent = %q

[worker.containerd]
  enabled = false

[history]
  maxEntries = 5
`

const buildkitRegistry = `
[registry.%q]
  http = true
`

func (b *Bed) newBuildKit() (*BuildKit, error) {
	k := &BuildKit{bed: b}
	config := b.slot.path("buildkitd.toml")
	text := fmt.Sprintf(buildkitConfig, b.data("buildkit"), k.Addr(), b.slot.path("otel.sock"), b.Tools.Runc, b.slot.cgroup())
	for _, addr := range b.registries() {
		text += fmt.Sprintf(buildkitRegistry, addr)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	k.daemon = daemon{
		name: "buildkitd", argv: []string{b.Tools.BuildKitd, "--config", config},
		// Without these a step's log is cut at 2 MiB and 200 KiB/s.
		env: append(b.env(), "BUILDKIT_STEP_LOG_MAX_SIZE=-1", "BUILDKIT_STEP_LOG_MAX_SPEED=-1"),
		log: b.logFile("buildkitd"),
		// buildkitd waits for running solves without end, hence the short grace.
		term: syscall.SIGTERM, grace: 5 * time.Second, answers: k.answers,
	}
	return k, nil
}

// Start runs buildkitd and returns when its worker is there.
func (k *BuildKit) Start(ctx context.Context) error { return k.daemon.start(ctx) }

// Stop ends buildkitd; a build that runs on is killed after five seconds.
func (k *BuildKit) Stop() error { return k.daemon.stop() }

// Kill ends buildkitd as a crash would; its running steps go on.
func (k *BuildKit) Kill() { k.daemon.kill() }

// Addr is the value for BUILDKIT_HOST.
func (k *BuildKit) Addr() string { return "unix://" + k.bed.slot.path("buildkitd.sock") }

func (k *BuildKit) answers(ctx context.Context) error {
	if _, err := os.Stat(k.bed.slot.path("buildkitd.sock")); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, k.bed.Tools.BuildCtl, "--addr", k.Addr(), "debug", "workers").CombinedOutput()
	if err != nil {
		return fmt.Errorf("buildctl debug workers: %w: %s", err, lastLines(out, 2))
	}
	return nil
}
