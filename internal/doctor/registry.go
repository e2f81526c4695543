package doctor

import (
	"context"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Pusher asks registries: *buildkit.Registry, or a double in tests.
type Pusher interface {
	Ping(ctx context.Context, host string) error
	TryPush(ctx context.Context, host, repository string, creds tasks.Credentials) error
}

// Registry looks at the registry that images are pushed to.
type Registry struct {
	Registry Pusher
	Host     string
	// Namespace is the part of DISPATCHD_REGISTRY behind the host; may be empty.
	Namespace string
	// Push is true where the settings say that images go there.
	Push        bool
	Credentials tasks.Credentials
}

// scratch is the repository that the right to push is tried with.
const scratch = "dispatchd-doctor"

// Check reaches the registry and begins an upload, which it cancels.
func (r Registry) Check(ctx context.Context) []Result {
	tried := "reach the registry " + r.Host
	if err := r.Registry.Ping(ctx, r.Host); err != nil {
		return []Result{bad(Fail, tried, err.Error(), remedy{"DISPATCHD_REGISTRY", "start the registry, or correct its name; without TLS it must stand in DISPATCHD_INSECURE_REGISTRIES"})}
	}
	results := []Result{good(tried, "it answers")}
	if !r.Push {
		return results
	}
	repository := strings.TrimPrefix(r.Namespace+"/"+scratch, "/")
	tried = "begin an upload to " + r.Host + "/" + repository + " and cancel it"
	err := r.Registry.TryPush(ctx, r.Host, repository, r.Credentials)
	switch {
	case err == nil:
		return append(results, good(tried, "allowed"))
	case reasonIs(err, tasks.ReasonRegistryAuth) && !r.Credentials.Set():
		return append(results, bad(Warn, tried, err.Error(), remedy{"REGISTRY_USERNAME", "set it and REGISTRY_PASSWORD, or REGISTRY_TOKEN, unless every task brings its own"}))
	case reasonIs(err, tasks.ReasonRegistryAuth):
		return append(results, bad(Fail, tried, err.Error(), remedy{"REGISTRY_PASSWORD", "set credentials that may push there; they are for the registry of DISPATCHD_REGISTRY_HOST alone"}))
	}
	return append(results, bad(Fail, tried, err.Error(), remedy{"DISPATCHD_REGISTRY", "see why the registry does not take uploads"}))
}
