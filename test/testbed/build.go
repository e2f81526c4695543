package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// build is a server made from a module under test/tools.
type build struct {
	name    string
	version string
	module  string
	// programs maps each program to its package.
	programs map[string]string
	ldflags  string
	// cgo is true where the program does not compile without a C compiler.
	cgo   bool
	takes string
}

func nomadBuild() *build {
	return &build{
		name: "nomad", version: "1.6.1", module: "test/tools/nomad",
		programs: map[string]string{"nomad": "github.com/hashicorp/nomad"},
		ldflags:  "-s -w", cgo: true, takes: "3 to 5 minutes",
	}
}

func buildkitBuild() *build {
	return &build{
		name: "buildkit", version: "0.34.2", module: "test/tools/buildkit",
		programs: map[string]string{
			"buildkitd": "github.com/moby/buildkit/cmd/buildkitd",
			"buildctl":  "github.com/moby/buildkit/cmd/buildctl",
		},
		ldflags: "-s -w -X github.com/moby/buildkit/version.Version=v0.34.2", takes: "3 minutes",
	}
}

// compilers lists the Debian packages that the build lacks.
func (b *build) compilers() []string {
	if !b.cgo || os.Getenv("CC") != "" {
		return nil
	}
	if _, err := exec.LookPath("gcc"); err == nil {
		return nil
	}
	return []string{"gcc", "libc6-dev"}
}

// dir is where the finished programs lie.
func (b *build) dir(cache string) string { return filepath.Join(cache, b.name, b.version) }

// run builds every program under a temporary name and renames it when it is
// whole, so that a broken build never looks good.
func (b *build) run(ctx context.Context, root, cache string, log *lineWriter) error {
	target := b.dir(cache)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	// The lock is ours: what lies here is of a build that was killed.
	stale, _ := filepath.Glob(filepath.Join(target, ".build-*"))
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("build %s: %w", b.name, err)
		}
	}
	for program, pkg := range b.programs {
		temp, err := os.MkdirTemp(target, ".build-")
		if err != nil {
			return fmt.Errorf("build %s: %w", program, err)
		}
		err = b.compile(ctx, filepath.Join(root, b.module), []string{"-o", filepath.Join(temp, program), pkg}, log)
		if err == nil {
			err = os.Rename(filepath.Join(temp, program), filepath.Join(target, program))
		}
		if err = errors.Join(err, os.RemoveAll(temp)); err != nil {
			return fmt.Errorf("build %s %s: %w", program, b.version, err)
		}
	}
	return nil
}

func (b *build) compile(ctx context.Context, dir string, tail []string, log *lineWriter) error {
	args := append([]string{"build", "-v", "-trimpath", "-ldflags", b.ldflags}, tail...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// The user's flags and workspace are for another module.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED="+map[bool]string{true: "1", false: "0"}[b.cgo])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	progress := &buildProgress{}
	cmd.Stderr = progress
	stop := progress.report(ctx, b.name+" "+b.version, log)
	err := cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("go build: %w: %s", err, progress.tail())
	}
	return nil
}

// buildProgress counts what go build -v names and keeps its last lines.
type buildProgress struct {
	mu       sync.Mutex
	packages int
	modules  int
	last     []string
}

func (p *buildProgress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.HasPrefix(line, "go: downloading"):
			p.modules++
		case strings.HasPrefix(line, "#"), strings.Contains(line, " "):
			p.last = append(p.last, strings.TrimSpace(line))
		default:
			p.packages++
		}
	}
	p.last = p.last[max(0, len(p.last)-8):]
	return len(b), nil
}

func (p *buildProgress) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.last, "; ")
}

// report prints a line now and every ten seconds, until stop is called.
func (p *buildProgress) report(ctx context.Context, name string, log *lineWriter) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	start := time.Now()
	log.printf("building %s", name)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.mu.Lock()
				log.printf("building %s: %d modules fetched, %d packages compiled, %s", name, p.modules, p.packages, time.Since(start).Round(time.Second))
				p.mu.Unlock()
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// lineWriter lets several goroutines write whole lines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Progress is for people; a closed terminal must not fail the work.
	_, _ = fmt.Fprintf(l.w, format+"\n", args...)
}
