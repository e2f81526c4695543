package buildkit_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The daemon's words, as BuildKit 0.34 passes them on.
func TestPullLimitsNameTheRegistry(t *testing.T) {
	t.Parallel()
	const hub = "failed to solve: node:22: failed to resolve source metadata for docker.io/library/node:22: "
	for name, tc := range map[string]struct{ text, want string }{
		"Docker Hub": {
			hub + "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://registry-1.docker.io/v2/library/node/manifests/sha256:00: 429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
			"pull base image node:22 (docker/Dockerfile:1): registry docker.io limits our requests; pulls without credentials are counted over 6 hours",
		},
		"GitHub": {
			"failed to solve: failed to resolve source metadata for ghcr.io/acme/base:1: unexpected status from HEAD request to https://ghcr.io/v2/acme/base/manifests/1: 429 Too Many Requests: toomanyrequests: retry-after: 93.5s, allowed: 44000/minute",
			"pull base image ghcr.io/acme/base:1 (docker/Dockerfile:1): registry ghcr.io limits our requests and asks to wait 1m34s",
		},
		"a layer": {
			"failed to solve: failed to copy: httpReadSeeker: failed open: unexpected status code https://mirror.example/v2/x/blobs/sha256:00: 429 Too Many Requests",
			"pull base image (docker/Dockerfile:1): registry mirror.example limits our requests",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failure := buildkit.ClassifyBuild(atLine(1, errors.New(tc.text)), "registry.example/app", noCredentials, nil)
			checkFailure(t, failure, tasks.ReasonRegistryLimited, tc.want)
		})
	}
}

// TestALayerNamesTheImageOfItsStep: the daemon's words leave the name out.
func TestALayerNamesTheImageOfItsStep(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	updates := []*control.Update{{Vertexes: []*control.Vertex{{Digest: runDigest, Name: "[2/3] FROM docker.io/library/node:22@sha256:00", Started: &start}}}}
	err := atVertex(errors.New("failed to solve: failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/x: 403 Forbidden"))
	checkFailure(t, buildkit.ClassifyBuild(err, "registry.example/app", goodCredentials, updates), tasks.ReasonRegistryAuth,
		"pull base image node:22: the registry wants credentials, and the task has none for it")
}

func TestResolveSaysHowLongALimitLasts(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"120": "limits our requests and asks to wait 2m0s",
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): "limits our requests and asks to wait ",
		"": "limits our requests", "soon": "limits our requests", "-4": "limits our requests",
	} {
		registry := newRegistry(t, func(*testRegistry, http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
			})
		})
		resolver := newResolver(t, buildkit.RegistryOptions{})
		_, err := resolver.Resolve(t.Context(), registry.host+"/app", "v1", goodCredentials)
		checkFailure(t, err, tasks.ReasonRegistryLimited, "registry "+registry.host+" "+want)
		image, err := resolver.Resolve(t.Context(), registry.host+"/app", "v1", noCredentials)
		if err != nil || !strings.Contains(image.Unresolved, want) {
			t.Errorf("%q: got %+v, %v", header, image, err)
		}
	}
}

// TestCutsFallBetweenWords: who hides secrets after us knows them whole.
func TestCutsFallBetweenWords(t *testing.T) {
	t.Parallel()
	secret := "secret-0123456789abcdef"
	for fill := 380; fill < 520; fill++ {
		output := strings.Repeat("x", fill) + " " + secret + " after"
		failure := buildkit.ClassifyBuild(exited(2), "acme/app", noCredentials, ranStep("[1/2] RUN make "+strings.Repeat("y", fill-300)+" "+secret, output+"\n"))
		rest := strings.ReplaceAll(failure.Message, secret, "")
		if len(failure.Message) > 500 || strings.Contains(rest, "secret") {
			t.Fatalf("with %d bytes before it, a part of the secret is left: %q", fill, failure.Message)
		}
	}
}
