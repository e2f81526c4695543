package buildkit

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/distribution/reference"
)

// pushPrefix begins every error of an image's push.
const pushPrefix = "failed to push "

// registryCall is what was asked of a registry.
type registryCall struct {
	// what is "push acme/app:v1".
	what string
	// host is the registry; empty where the daemon does not say which.
	host string
	// missing is what it means when the registry does not know the name.
	missing string
	// credentials is true where it was asked with credentials.
	credentials bool
}

// refused says what a registry's 401 or 403 means.
func (c registryCall) refused() string {
	if c.credentials {
		return "the registry refused the credentials"
	}
	return "the registry wants credentials, and the task has none for it"
}

// registryFailed makes the failure of a registry's refusal, which the daemon
// passes on as text.
func registryFailed(call registryCall, text string, err error) *tasks.Failure {
	reason, how := registryReason(text, call)
	return tasks.Fail(reason, cut(call.what+": "+how), err)
}

// registryReason reads a registry's answer out of the daemon's words. The
// status comes first: a token server that is down also says "authorize".
func registryReason(text string, call registryCall) (tasks.Reason, string) {
	lower := strings.ToLower(text)
	status := httpStatus(text)
	switch {
	case isDiskFull(lower):
		return tasks.ReasonDiskFull, "the disk is full"
	case status == http.StatusTooManyRequests || containsAny(lower, "toomanyrequests", "too many requests"):
		return tasks.ReasonRegistryLimited, limited(call.host, waitIn(text), call.credentials)
	case status >= 500:
		return tasks.ReasonRegistryDown, fmt.Sprintf("the registry answered with status %d", status)
	case containsAny(lower, "connection refused"):
		return tasks.ReasonRegistryDown, "the registry refuses the connection"
	case containsAny(lower, "no such host", "server misbehaving"):
		return tasks.ReasonRegistryDown, "the registry's name cannot be resolved"
	case containsAny(lower, "timeout", "deadline exceeded"):
		return tasks.ReasonRegistryDown, "the registry did not answer in time"
	case containsAny(lower, "x509", "tls:", "http response to https client"):
		return tasks.ReasonRegistryDown, "the registry's TLS cannot be trusted"
	case containsAny(lower, "repository does not exist or may require authorization"):
		return tasks.ReasonImageNotFound, call.missing + ", or it is private"
	case status == http.StatusUnauthorized || status == http.StatusForbidden || containsAny(lower, refusals...):
		return tasks.ReasonRegistryAuth, call.refused()
	case status == http.StatusNotFound || containsAny(lower, ": not found", "name unknown", "manifest unknown"):
		return tasks.ReasonImageNotFound, call.missing
	case status > 0:
		return tasks.ReasonRegistryDown, fmt.Sprintf("the registry answered with status %d", status)
	default:
		return tasks.ReasonRegistryDown, "the registry failed"
	}
}

// refusals are what registries and their token servers say instead of a status.
var refusals = []string{
	"unauthorized", "denied", "insufficient_scope", "authorization failed", "no basic auth credentials",
	"failed to authorize", "authentication required",
}

// statusText finds "429 Too Many Requests" and the like.
var statusText = regexp.MustCompile(`: ([1-5]\d\d) [A-Z]`)

func httpStatus(text string) int {
	found := statusText.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	status, _ := strconv.Atoi(found[1])
	return status
}

// metadataText is how the daemon says which image it could not look up;
// layerText is how it says so of a layer of one, whose name it leaves out.
var (
	metadataText = regexp.MustCompile(`failed to resolve source metadata for (\S+): `)
	layerText    = regexp.MustCompile(`failed to copy: httpReadSeeker: |failed to fetch (anonymous|oauth) token|pull access denied`)
)

// isPull reports whether the text is about an image that the Dockerfile builds on.
func isPull(text string) bool { return metadataText.MatchString(text) || layerText.MatchString(text) }

// pullFailed is the failure of such an image. It names the image, and the line
// that wants it.
func pullFailed(text string, err error, facts buildFacts) *tasks.Failure {
	call := registryCall{what: "pull base image", missing: "not found", host: hostIn(text)}
	if image := facts.baseImage(text, err); image != "" {
		call.what += " " + image
		if named, err := reference.ParseNormalizedNamed(image); err == nil {
			call.host = reference.Domain(named)
			call.credentials = facts.credentialsAt(call.host)
		}
	}
	if where := dockerfileLine(err); where != "" {
		call.what += " (" + where + ")"
	}
	return registryFailed(call, text, err)
}

// fromStep finds the image in the name of the step that pulls it.
var fromStep = regexp.MustCompile(`^FROM (\S+)`)

// baseImage is the image that could not be pulled, as docker shows it: the
// daemon's words name it, or the step that failed does.
func (f buildFacts) baseImage(text string, err error) string {
	image := ""
	if found := metadataText.FindStringSubmatch(text); found != nil {
		image = found[1]
	} else if s := f.printer.stepOfError(err); s != nil {
		if found := fromStep.FindStringSubmatch(s.command()); found != nil {
			image, _, _ = strings.Cut(found[1], "@")
		}
	}
	if named, err := reference.ParseNormalizedNamed(image); err == nil {
		return reference.FamiliarString(named)
	}
	return image
}

// pushFailed is the failure of the built image's push.
func pushFailed(text string, err error, facts buildFacts) *tasks.Failure {
	return registryFailed(registryCall{
		what:        "push " + facts.ref.String(),
		host:        facts.ref.host(),
		missing:     "the registry has no such repository",
		credentials: facts.creds.Set(),
	}, text, err)
}

func containsAny(text string, signs ...string) bool {
	for _, sign := range signs {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
