package buildkit_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
)

// The registry is a stranger's: an image's config without an end must not fill
// the worker's memory. A size of -1 is how the client says that it knows none.
func TestResolveDoesNotReadAnEndlessConfig(t *testing.T) {
	t.Parallel()
	for _, size := range []int{256 << 20, -1} {
		var sent atomic.Int64
		registry := newRegistry(t, func(*testRegistry, http.Handler) http.Handler { return endlessConfig(size, &sent) })
		image, err := newResolver(t, buildkit.RegistryOptions{}).Resolve(t.Context(), registry.host+"/acme/app", "v1", noCredentials)
		if err != nil || image.Digest == "" || image.Ports != nil {
			t.Errorf("size %d: Resolve = %+v, %v, want a digest without ports", size, image, err)
		}
		if got := sent.Load(); got > 32<<20 {
			t.Errorf("size %d: %d MiB of the config were read", size, got>>20)
		}
	}
}

// endlessConfig is a registry whose image has a config of 256 MiB, called size.
func endlessConfig(size int, sent *atomic.Int64) http.Handler {
	const manifest = `{"schemaVersion":2,"layers":[],"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":%d,"digest":"sha256:%s"}}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = fmt.Fprintf(w, manifest, size, strings.Repeat("0", 64))
		case strings.Contains(r.URL.Path, "/blobs/"):
			for chunk := bytes.Repeat([]byte(" "), 1<<20); sent.Load() < 256<<20; {
				n, err := w.Write(chunk)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}
	})
}
