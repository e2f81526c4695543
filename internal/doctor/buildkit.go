package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/dispatchd/dispatchd/internal/buildkit"
)

// Daemon is the buildkitd: *buildkit.Client, or a double in tests.
type Daemon interface {
	Address() string
	Diagnose(ctx context.Context) (buildkit.Daemon, error)
}

// BuildKit looks at the builder.
type BuildKit struct{ Daemon Daemon }

// Check asks for its version, its workers and its cache.
func (b BuildKit) Check(ctx context.Context) []Result {
	tried := "reach BuildKit at " + b.Daemon.Address()
	daemon, err := b.Daemon.Diagnose(ctx)
	if err != nil {
		return []Result{bad(Fail, tried, err.Error(), remedy{"BUILDKIT_HOST", "start buildkitd, or correct the address; this user must be allowed to use its socket"})}
	}
	return append([]Result{b.version(tried, daemon.Version)}, b.workers(daemon)...)
}

func (b BuildKit) version(tried, text string) Result {
	v, ok := parseVersion(text)
	if ok && buildkitFloor.met(v) {
		return good(tried, "version %s", v)
	}
	found := fmt.Sprintf("version %s is below %s, which closes known holes", v, buildkitFloor)
	if !ok {
		found = fmt.Sprintf("its version %q cannot be compared with %s", text, buildkitFloor)
	}
	return bad(Warn, tried, found, remedy{"BUILDKIT_HOST", "upgrade buildkitd to " + buildkitFloor.String() + " or newer"})
}

func (b BuildKit) workers(daemon buildkit.Daemon) []Result {
	const tried = "look at BuildKit's workers and cache"
	if len(daemon.Workers) == 0 {
		return []Result{bad(Fail, tried, "it has no worker", remedy{"BUILDKIT_HOST", "enable the OCI worker in buildkitd.toml"})}
	}
	found := "builds for " + strings.Join(daemon.Workers[0].Platforms, ", ")
	if daemon.CacheBytes >= 0 {
		found += "; its cache takes " + bytesText(daemon.CacheBytes)
	}
	for _, worker := range daemon.Workers {
		if !worker.Capped {
			return []Result{bad(Warn, tried, found+" and has no cap: reservedSpace is what is kept, not the most that is used",
				remedy{"gcpolicy in buildkitd.toml", "set maxUsedSpace and minFreeSpace in a rule without filters and without keepDuration"})}
		}
	}
	return []Result{good(tried, "%s and is capped", found)}
}
