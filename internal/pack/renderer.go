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
	// Registries are those from which a task may take its pack, by Fetch; without
	// them only embedded packs are rendered.
	Registries []Registry
	Fetch      Fetch
}

// Renderer renders embedded packs, which it reads once, and packs of allowed
// registries, which it fetches each time. It is safe for concurrent use.
type Renderer struct {
	embedded    fs.FS
	defaultPack string
	registries  []Registry
	fetch       Fetch

	mu     sync.Mutex
	loaded map[string]*pack
}

var _ tasks.Renderer = (*Renderer)(nil)

// New makes a Renderer of the packs that are the directories of embedded.
func New(embedded fs.FS, o Options) *Renderer {
	if o.DefaultPack == "" {
		o.DefaultPack = defaultPack
	}
	return &Renderer{
		embedded: embedded, defaultPack: o.DefaultPack, registries: o.Registries, fetch: o.Fetch, loaded: map[string]*pack{},
	}
}

// Render returns the job of the pack that the request names. Of an embedded
// pack nothing is read but its files; a registry's is fetched into the
// request's directory, which is gone when Render returns.
func (r *Renderer) Render(ctx context.Context, req tasks.RenderRequest) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	name := or(req.Deploy.Pack, r.defaultPack)
	if !req.Deploy.UseEmbedded {
		name = or(req.Deploy.RegistryTarget, name)
	}
	p, err := r.find(ctx, name, req)
	if err != nil {
		return nil, err
	}
	job, err := p.render(req)
	if err != nil {
		return nil, failed(name, err)
	}
	return job, nil
}

func (r *Renderer) find(ctx context.Context, name string, req tasks.RenderRequest) (*pack, error) {
	if !req.Deploy.UseEmbedded {
		return r.fetched(ctx, name, req)
	}
	return r.open(name)
}

// open returns the embedded pack of a name.
func (r *Renderer) open(name string) (*pack, error) {
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
	return oneJob(outputs, p.foreign)
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
