package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// defaultPack is the pack of a task that names none.
const defaultPack = "cloudstation"

// Options are the settings of a Renderer.
type Options struct {
	// DefaultPack is rendered for a task that names no pack; cloudstation where empty.
	DefaultPack string
}

// Renderer renders embedded packs. It reads each pack once and is safe for
// concurrent use.
type Renderer struct {
	embedded    fs.FS
	defaultPack string

	mu     sync.Mutex
	loaded map[string]*pack
}

var _ tasks.Renderer = (*Renderer)(nil)

// New makes a Renderer of the packs that are the directories of embedded.
func New(embedded fs.FS, o Options) *Renderer {
	if o.DefaultPack == "" {
		o.DefaultPack = defaultPack
	}
	return &Renderer{embedded: embedded, defaultPack: o.DefaultPack, loaded: map[string]*pack{}}
}

// Render returns the job of the pack that the request names. It does no I/O
// but reading the embedded files, so the context is only asked once.
func (r *Renderer) Render(ctx context.Context, req tasks.RenderRequest) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	p, err := r.open(req.Deploy)
	if err != nil {
		return nil, err
	}
	job, err := p.render(req)
	if err != nil {
		return nil, failed(p.name, err)
	}
	return job, nil
}

// open returns the pack that a deployment names.
func (r *Renderer) open(d tasks.ProjectDeploy) (*pack, error) {
	name := d.Pack
	if name == "" {
		name = r.defaultPack
	}
	if !d.UseEmbedded {
		return nil, otherRegistry(name, d)
	}
	p, err := r.pack(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, tasks.Fail(tasks.ReasonUnsupported, fmt.Sprintf("deploy pack %q: this build does not embed a pack of that name", name), err)
	}
	if err != nil {
		return nil, failed(name, err)
	}
	return p, nil
}

// pack returns the pack of a name, read and parsed.
func (r *Renderer) pack(name string) (*pack, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.loaded[name]; ok {
		return p, nil
	}
	p, err := load(r.embedded, name)
	if err == nil {
		r.loaded[name] = p
	}
	return p, err
}

// render is the way from a pack and a request to one job.
func (p *pack) render(req tasks.RenderRequest) ([]byte, error) {
	values, err := p.values(req)
	if err != nil {
		return nil, err
	}
	outputs, err := p.execute(values)
	if err != nil {
		return nil, err
	}
	return oneJob(outputs)
}

func otherRegistry(name string, d tasks.ProjectDeploy) error {
	registry := d.RegistryName
	if registry == "" {
		registry = d.RegistrySource
	}
	return tasks.Fail(tasks.ReasonUnsupported,
		fmt.Sprintf("deploy pack %q from registry %q: this build renders the embedded pack only", name, registry), nil)
}

// refusal is an error whose text is a sentence about the user's own values; a
// template's place would only be in its way.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }

func refuse(format string, args ...any) error {
	return &refusal{message: fmt.Sprintf(format, args...)}
}

func failed(name string, err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		return tasks.Fail(tasks.ReasonRenderFailed, fmt.Sprintf("render pack %s: %s", name, refused.message), refused)
	}
	return tasks.Fail(tasks.ReasonRenderFailed, fmt.Sprintf("render pack %s: %v", name, err), err)
}
