package buildkit

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxConfig is far above any real image's config, which is read whole.
const maxConfig = 4 << 20

// RegistryOptions says how registries are read.
type RegistryOptions struct {
	// InsecureRegistries are hosts, with their port, that are read without TLS.
	// A registry on this machine needs no entry.
	InsecureRegistries []string
	// Timeout is the most that reading one image may take, retries included;
	// 10 s where it is 0.
	Timeout time.Duration
	// DialTimeout is the most that one connection may take; 3 s where it is 0.
	DialTimeout time.Duration
}

// Registry reads images from their registries. It is safe for concurrent use.
type Registry struct {
	timeout   time.Duration
	insecure  insecureHosts
	transport *http.Transport
}

var _ tasks.Resolver = (*Registry)(nil)

// NewRegistry makes a Registry. It does not connect.
func NewRegistry(options RegistryOptions) *Registry {
	if options.Timeout <= 0 {
		options.Timeout = 10 * time.Second
	}
	if options.DialTimeout <= 0 {
		options.DialTimeout = 3 * time.Second
	}
	dialer := &net.Dialer{Timeout: options.DialTimeout}
	return &Registry{
		timeout:  options.Timeout,
		insecure: options.InsecureRegistries,
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: options.DialTimeout,
			MaxIdleConnsPerHost: 2,
			IdleConnTimeout:     30 * time.Second,
		},
	}
}

// Close ends the idle connections.
func (r *Registry) Close() { r.transport.CloseIdleConnections() }

// Ping asks the registry at a host, with its port, whether it is there. A
// registry that wants credentials is there.
func (r *Registry) Ping(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	registry, err := name.NewRegistry(host, r.nameOptions(host)...)
	if err != nil {
		return tasks.Fail(tasks.ReasonRegistryDown, fmt.Sprintf("registry %q is not a valid host", host), err)
	}
	if _, err := transport.Ping(ctx, registry, r.guarded()); err != nil {
		return tasks.Fail(tasks.ReasonRegistryDown, fmt.Sprintf("registry %s cannot be reached", host), err)
	}
	return nil
}

// Resolve returns the digest that the tag has now, and the ports that the
// image exposes. Where the registry cannot be read, the image has no digest and
// says why; that is no error, since Nomad's clients may well be able to pull it.
// A registry that we have credentials for is ours to read, so a passing fault of
// it is a failure that is tried again.
func (r *Registry) Resolve(ctx context.Context, imageName, tag string, creds tasks.Credentials) (tasks.Image, error) {
	ref, err := parseImage(imageName, tag)
	if err != nil {
		return tasks.Image{}, err
	}
	note := &limitNote{}
	image, err := r.read(withNote(ctx, note), ref, creds)
	why := unread{ref: ref, creds: creds, wait: note.wait}
	switch {
	case err == nil:
		return image, nil
	case ctx.Err() != nil:
		return tasks.Image{}, context.Cause(ctx)
	case isUnknownImage(err):
		return tasks.Image{}, tasks.Fail(tasks.ReasonImageNotFound, fmt.Sprintf("image %s not found", ref), err)
	}
	if reason, ok := passing(err); ok && creds.Set() {
		return tasks.Image{}, tasks.Fail(reason, why.because(err), err)
	}
	unread := ref.image()
	if unread.Digest == "" {
		unread.Unresolved = why.because(err)
	}
	return unread, nil
}

// read asks the registry for the manifest and, where it can be had, the config.
func (r *Registry) read(ctx context.Context, ref imageRef, creds tasks.Credentials) (tasks.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	address, err := r.address(ref)
	if err != nil {
		return tasks.Image{}, err
	}
	descriptor, err := remote.Get(address, r.remoteOptions(ctx, creds)...)
	if err != nil {
		return tasks.Image{}, err
	}
	if !descriptor.MediaType.IsImage() && !descriptor.MediaType.IsIndex() {
		return tasks.Image{}, fmt.Errorf("%w: %s", errNoManifest, descriptor.MediaType)
	}
	image := ref.image()
	image.Digest = descriptor.Digest.String()
	image.Platforms = indexPlatforms(descriptor)
	// The digest is what a deployment needs; the rest are defaults that the task
	// may name itself, so an image whose config cannot be read has none.
	if config, err := configOf(descriptor); err == nil {
		_ = describeImage(&image, config)
	}
	return image, nil
}

// indexPlatforms are those of an index; none where the descriptor is an image.
func indexPlatforms(descriptor *remote.Descriptor) []string {
	if !descriptor.MediaType.IsIndex() {
		return nil
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(descriptor.Manifest))
	if err != nil {
		return nil
	}
	var platforms []string
	for _, manifest := range index.Manifests {
		// Attestations are for the platform unknown/unknown.
		if p := manifest.Platform; p != nil {
			platforms = append(platforms, tasks.PlatformName(p.OS, p.Architecture, p.Variant))
		}
	}
	return tasks.SortPlatforms(platforms)
}

// configOf reads the image's config, in an index that of this machine's platform.
func configOf(descriptor *remote.Descriptor) ([]byte, error) {
	image, err := descriptor.Image()
	if err != nil {
		return nil, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	// A size below zero would be read to whatever end there is.
	if size := manifest.Config.Size; size < 0 || size > maxConfig {
		return nil, fmt.Errorf("the image's config has %d bytes, at most %d are read", size, maxConfig)
	}
	return image.RawConfigFile()
}

func (r *Registry) remoteOptions(ctx context.Context, creds tasks.Credentials) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuth(authenticator(creds)),
		remote.WithTransport(r.guarded()),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 3}),
		remote.WithUserAgent("dispatchd"),
	}
}

// address is the reference as the registry's client names it.
func (r *Registry) address(ref imageRef) (name.Reference, error) {
	text := ref.named.Name()
	options := r.nameOptions(ref.host())
	if ref.digest != "" {
		return name.NewDigest(text+"@"+ref.digest, options...)
	}
	return name.NewTag(text+":"+ref.tag, options...)
}

func (r *Registry) nameOptions(host string) []name.Option {
	if r.insecure.allows(host) {
		return []name.Option{name.Insecure}
	}
	return nil
}

func authenticator(creds tasks.Credentials) authn.Authenticator {
	switch {
	case creds.Token.Set():
		return &authn.Bearer{Token: creds.Token.Reveal()}
	case creds.Set():
		return &authn.Basic{Username: creds.Username, Password: creds.Password.Reveal()}
	default:
		return authn.Anonymous
	}
}

// guarded refuses plain HTTP to a registry that is not meant to be spoken to
// without TLS: the client falls back to it for any private address.
func (r *Registry) guarded() http.RoundTripper {
	return tlsGuard{insecure: r.insecure, next: r.transport}
}

type tlsGuard struct {
	insecure insecureHosts
	next     http.RoundTripper
}

// RoundTrip sends the request, unless it would go out unprotected.
func (g tlsGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.insecure.allows(req.URL.Host) {
		return nil, fmt.Errorf("%w: %s", errNoTLS, req.URL.Host)
	}
	response, err := g.next.RoundTrip(req)
	if err == nil {
		noteLimit(response)
	}
	return response, err
}
