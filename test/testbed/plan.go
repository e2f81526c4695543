package testbed

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Plan is what Ensure would do on this host.
type Plan struct {
	// Found maps each program that is there already to its path.
	Found map[string]string
	// Packages are Debian packages to install.
	Packages []string
	// Builds are what go build makes, such as "nomad 1.6.1".
	Builds []string

	opts   Options
	tools  []tool
	builds []*build
}

// NewPlan looks what is missing and changes nothing.
func NewPlan(ctx context.Context, opts Options) (*Plan, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Plan{opts: opts, Found: map[string]string{}}
	for _, t := range toolTable() {
		if opts.Need&t.need == 0 {
			continue
		}
		p.tools = append(p.tools, t)
		if path := t.find(ctx, opts.Cache); path != "" {
			p.Found[t.name] = path
			continue
		}
		p.add(t)
	}
	return p, p.possible()
}

// add puts the source of a missing program on the plan, once.
func (p *Plan) add(t tool) {
	if t.pkg != "" {
		p.Packages = append(p.Packages, t.pkg)
		return
	}
	for _, b := range p.builds {
		if b.name == t.build.name {
			return
		}
	}
	p.Packages = append(p.Packages, t.build.compilers()...)
	p.builds = append(p.builds, t.build)
	p.Builds = append(p.Builds, t.build.name+" "+t.build.version)
}

// possible says what the host lacks to carry the plan out.
func (p *Plan) possible() error {
	if err := CheckHost(); err != nil {
		return err
	}
	if len(p.Packages) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("this host lacks what Debian has in %s, and it has no apt-get; install them and try again", strings.Join(p.Packages, ", "))
		}
	}
	if len(p.builds) > 0 {
		if _, err := exec.LookPath("go"); err != nil {
			return fmt.Errorf("%s must be built, and there is no go on the PATH", strings.Join(p.Builds, " and "))
		}
	}
	return nil
}

// Empty reports whether everything is there.
func (p *Plan) Empty() bool { return len(p.Packages) == 0 && len(p.builds) == 0 }

// String lists what would be installed and built, one line each.
func (p *Plan) String() string {
	var out strings.Builder
	if len(p.Packages) > 0 {
		fmt.Fprintf(&out, "install with apt-get: %s (services are not started)\n", strings.Join(p.Packages, " "))
	}
	for _, b := range p.builds {
		fmt.Fprintf(&out, "build %s %s into %s (about %s)\n", b.name, b.version, b.dir(p.opts.Cache), b.takes)
	}
	return out.String()
}

// Apply carries the plan out and returns the programs. Two processes that
// apply at once wait for each other, and the second finds the work done.
func (p *Plan) Apply(ctx context.Context) (Tools, error) {
	if p.Empty() {
		return p.collect(ctx)
	}
	unlock, err := lockFile(ctx, p.opts.Cache+"/.lock", p.opts.Log)
	if err != nil {
		return Tools{}, err
	}
	defer unlock()
	if p, err = NewPlan(ctx, p.opts); err != nil {
		return Tools{}, err
	}
	if err := p.work(ctx); err != nil {
		return Tools{}, err
	}
	return p.collect(ctx)
}

// work installs first, because a build may need the compiler, then builds
// everything side by side.
func (p *Plan) work(ctx context.Context) error {
	start := time.Now()
	log := &lineWriter{w: p.opts.Log}
	if len(p.Packages) > 0 {
		if err := aptInstall(ctx, p.Packages, log); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range p.builds {
		g.Go(func() error { return b.run(ctx, p.opts.Root, p.opts.Cache, log) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !p.Empty() {
		log.printf("tools are ready after %s", time.Since(start).Round(time.Second))
	}
	return nil
}

// collect names every program, and the one that is still missing.
func (p *Plan) collect(ctx context.Context) (Tools, error) {
	var tools Tools
	for _, t := range p.tools {
		path := p.Found[t.name]
		if path == "" {
			path = t.find(ctx, p.opts.Cache)
		}
		if path == "" {
			return Tools{}, fmt.Errorf("%s is still missing or too old after installing it (at least %d.%d is needed)", t.name, t.atLeast.major, t.atLeast.minor)
		}
		*t.path(&tools) = path
	}
	return tools, nil
}
