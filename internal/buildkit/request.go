package buildkit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// ownArgs is the prefix of the build arguments that steer the builder itself.
const ownArgs = "BUILDKIT_"

// keepGitArg is the one of them that a task may set; who asks for the build
// has read it.
const keepGitArg = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"

// sift takes out of a request what may not reach the build: arguments that
// steer the builder, arguments with the name of a secret (the secret wins, and
// what was meant to be hidden never becomes a layer's history), and for a
// planned build the secrets that cannot be environment variables. It says so in
// the log.
func sift(req tasks.BuildRequest, log io.Writer) tasks.BuildRequest {
	req.BuildArgs, req.StaticBuildEnv, req.Secrets = maps.Clone(req.BuildArgs), maps.Clone(req.StaticBuildEnv), maps.Clone(req.Secrets)
	var steering, secret []string
	for _, args := range []map[string]string{req.BuildArgs, req.StaticBuildEnv} {
		steering = append(steering, takeOut(args, steersBuilder)...)
		secret = append(secret, takeOut(args, func(name string) bool { return hasKey(req.Secrets, name) })...)
	}
	steering = slices.DeleteFunc(steering, func(name string) bool { return name == keepGitArg })
	leftOut(log, steering, "build arguments left out, because "+ownArgs+"… steers the builder")
	leftOut(log, secret, "build arguments left out, because the build has secrets with their names")
	if isPlanned(req) {
		unfit := takeOut(req.Secrets, func(name string) bool { return !isEnvName(name) })
		leftOut(log, unfit, "secrets left out, because their names cannot be those of environment variables")
	}
	return req
}

// isPlanned reports whether a program makes the plan of the build.
func isPlanned(req tasks.BuildRequest) bool { return req.Builder != tasks.BuilderDocker }

func steersBuilder(name string) bool { return strings.HasPrefix(strings.ToUpper(name), ownArgs) }

func hasKey[V any](m map[string]V, name string) bool {
	_, ok := m[name]
	return ok
}

// takeOut removes the entries whose name fits, and returns the names.
func takeOut[V any](from map[string]V, fits func(name string) bool) []string {
	var names []string
	for name := range from {
		if fits(name) {
			names = append(names, name)
			delete(from, name)
		}
	}
	return names
}

func leftOut(log io.Writer, names []string, why string) {
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	_, _ = fmt.Fprintf(log, "%s: %s\n", why, strings.Join(slices.Compact(names), ", "))
}

// isEnvName reports whether a name is one that every shell takes:
// [A-Za-z_][A-Za-z0-9_]*.
func isEnvName(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
