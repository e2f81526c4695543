package buildkit_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
	exitpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const runDigest = "sha256:run"

// ranStep is the progress of one step that wrote the output.
func ranStep(name, output string) []*control.Update {
	start := time.Unix(1000, 0)
	return []*control.Update{{
		Vertexes: []*control.Vertex{{Digest: runDigest, Name: name, Started: &start}},
		Logs:     []*control.VertexLog{{Vertex: runDigest, Stream: 2, Data: []byte(output), Timestamp: start}},
	}}
}

func atVertex(err error) error { return errdefs.WrapVertex(err, runDigest) }

func atLine(line int32, err error) error {
	return errdefs.WithSource(err, &errdefs.Source{
		Info:   &pb.SourceInfo{Filename: "docker/Dockerfile"},
		Ranges: []*pb.Range{{Start: &pb.Position{Line: line}, End: &pb.Position{Line: line}}},
	})
}

func exited(code uint32) error {
	return atVertex(&exitpb.ExitError{ExitCode: code, Err: fmt.Errorf("failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: %d", code)})
}

func TestClassifySteps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		step   string
		output string
		reason tasks.Reason
		want   string
	}{
		"a program fails": {
			exited(2), "[2/3] RUN make", "cc -c a.c\na.c:1: error\n\nmake: *** [a.o] Error 1\n\x1b[31mred\x1b[0m\n",
			tasks.ReasonBuildFailed, `build failed at step "RUN make": exit code 2: a.c:1: error | make: *** [a.o] Error 1 | red`,
		},
		"a program fails in silence":   {exited(1), "[build 2/13] RUN false", "", tasks.ReasonBuildFailed, `build failed at step "RUN false": exit code 1`},
		"killed with a hint":           {exited(137), "[2/3] RUN make", "Killed\n", tasks.ReasonBuildOOM, `build failed at step "RUN make": out of memory (exit code 137)`},
		"killed without a hint":        {exited(137), "[2/3] RUN make", "working\n", tasks.ReasonBuildFailed, `build failed at step "RUN make": exit code 137: working`},
		"a killed child of a program":  {exited(1), "[2/3] RUN make", "Killed\n", tasks.ReasonBuildFailed, `exit code 1: Killed`},
		"node without heap":            {exited(134), "[2/3] RUN npm run build", "FATAL ERROR: JavaScript heap out of memory\n", tasks.ReasonBuildOOM, `step "RUN npm run build": out of memory`},
		"the daemon saw the kill":      {atVertex(&exitpb.ExitError{ExitCode: 137, Err: fmt.Errorf("process did not complete successfully: %w", syscall.ENOMEM)}), "[2/3] RUN make", "", tasks.ReasonBuildOOM, "out of memory"},
		"a full disk in a step":        {exited(1), "[2/3] RUN make", "cp: write error: No space left on device\n", tasks.ReasonDiskFull, "the builder's disk is full"},
		"a full disk in the daemon":    {errors.New("failed to solve: failed to prepare x: write /var/lib/y: no space left on device"), "", "", tasks.ReasonDiskFull, "the builder's disk is full"},
		"a missing file":               {atLine(2, atVertex(errors.New(`failed to solve: failed to compute cache key: failed to calculate checksum of ref abc::def: "/missing": not found`))), "[1/1] COPY missing /", "", tasks.ReasonBuildFailed, `build failed at step "COPY missing /": "/missing": not found`},
		"a mistake in the Dockerfile":  {atLine(3, errors.New("failed to solve: dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)")), "", "", tasks.ReasonBuildFailed, "docker/Dockerfile:3: unknown instruction: RUNN (did you mean RUN?)"},
		"a link out of the source":     {atVertex(errors.New("failed to solve: statat app/up: path escapes from parent")), "[internal] load build context", "", tasks.ReasonSourceInvalid, `"app/up", which the Dockerfile copies, leaves the source`},
		"an empty Dockerfile":          {errors.New("failed to solve: the Dockerfile cannot be empty"), "", "", tasks.ReasonBuildFailed, "build failed: the Dockerfile cannot be empty"},
		"a forbidden mode":             {errors.New("failed to solve: failed to load LLB: security.insecure is not allowed"), "", "", tasks.ReasonBuildFailed, "build failed: security.insecure is not allowed"},
		"the daemon's own fault":       {status.Error(codes.Internal, "lease does not exist"), "", "", tasks.ReasonBuilderDown, "the builder failed: lease does not exist"},
		"an exit without a known step": {exited(3), "", "", tasks.ReasonBuildFailed, `build failed at step "RUN": exit code 3`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var updates []*control.Update
			if tc.step != "" {
				updates = ranStep(tc.step, tc.output)
			}
			failure := buildkit.ClassifyBuild(tc.err, "acme/app", noCredentials, updates)
			checkFailure(t, failure, tc.reason, tc.want)
			if !errors.Is(failure, tc.err) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestFailureMessagesAreShort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 5000)
	failure := buildkit.ClassifyBuild(exited(2), "acme/app", noCredentials, ranStep("[1/2] RUN "+long, long+"\n"+long+"\n"))
	checkFailure(t, failure, tasks.ReasonBuildFailed, "exit code 2")
	if len(failure.Message) > 500 || strings.Contains(failure.Message, "\n") || !strings.Contains(failure.Message, "…") {
		t.Errorf("got %d bytes: %q", len(failure.Message), failure.Message)
	}
}

func TestClassifyRegistries(t *testing.T) {
	t.Parallel()
	const (
		push = "failed to solve: failed to push registry.example/app:v1: "
		pull = "failed to solve: nope:1: failed to resolve source metadata for docker.io/library/nope:1: "
		head = "unexpected status from HEAD request to http://registry.example/v2/app/blobs/sha256:00: "
	)
	for text, want := range map[string]struct {
		reason tasks.Reason
		text   string
	}{
		push + head + "401 Unauthorized":                                                  {tasks.ReasonRegistryAuth, "push registry.example/app:v1: the registry refused the credentials"},
		push + head + "403 Forbidden":                                                     {tasks.ReasonRegistryAuth, "refused the credentials"},
		push + "denied: requested access to the resource is denied":                       {tasks.ReasonRegistryAuth, "refused the credentials"},
		push + "failed to authorize: failed to fetch oauth token: unauthorized: no":       {tasks.ReasonRegistryAuth, "refused the credentials"},
		push + "failed to authorize: no basic auth credentials":                           {tasks.ReasonRegistryAuth, "refused the credentials"},
		push + "failed to authorize: failed to fetch oauth token: " + head + "503 Gone":   {tasks.ReasonRegistryDown, "answered with status 503"},
		push + head + "429 Too Many Requests":                                             {tasks.ReasonRegistryLimited, "limits our requests"},
		push + "toomanyrequests: You have reached your pull rate limit":                   {tasks.ReasonRegistryLimited, "limits our requests"},
		push + head + "500 Internal Server Error":                                         {tasks.ReasonRegistryDown, "answered with status 500"},
		push + head + "502 Bad Gateway":                                                   {tasks.ReasonRegistryDown, "answered with status 502"},
		push + head + "413 Request Entity Too Large":                                      {tasks.ReasonRegistryDown, "answered with status 413"},
		push + head + "404 Not Found":                                                     {tasks.ReasonImageNotFound, "the registry has no such repository"},
		push + "name unknown: The repository does not exist":                              {tasks.ReasonImageNotFound, "the registry has no such repository"},
		push + `failed to do request: Head "http://x": dial tcp: connection refused`:      {tasks.ReasonRegistryDown, "refuses the connection"},
		push + `failed to do request: Head "http://x": dial tcp: lookup x: no such host`:  {tasks.ReasonRegistryDown, "name cannot be resolved"},
		push + `failed to do request: Head "http://x": dial tcp 10.0.0.1: i/o timeout`:    {tasks.ReasonRegistryDown, "did not answer in time"},
		push + `failed to do request: Put "https://x": tls: failed to verify certificate`: {tasks.ReasonRegistryDown, "TLS cannot be trusted"},
		push + `failed to do request: Put "https://x": EOF`:                               {tasks.ReasonRegistryDown, "the registry failed"},
		push + "write /var/lib: no space left on device":                                  {tasks.ReasonDiskFull, "disk is full"},

		pull + "docker.io/library/nope:1: not found":                                                               {tasks.ReasonImageNotFound, "pull base image nope:1 (docker/Dockerfile:1): not found"},
		pull + "pull access denied, repository does not exist or may require authorization: server message":        {tasks.ReasonImageNotFound, "nope:1 (docker/Dockerfile:1): not found, or it is private"},
		pull + head + "401 Unauthorized":                                                                           {tasks.ReasonRegistryAuth, "the registry wants credentials"},
		pull + head + "429 Too Many Requests":                                                                      {tasks.ReasonRegistryLimited, "pull base image nope:1"},
		pull + "failed to do request: dial tcp: lookup registry-1.docker.io: no such host":                         {tasks.ReasonRegistryDown, "pull base image nope:1"},
		"failed to solve: failed to copy: httpReadSeeker: failed open: unexpected status code https://x: 503 Gone": {tasks.ReasonRegistryDown, "pull base image (docker/Dockerfile:1): the registry answered with status 503"},
	} {
		failure := buildkit.ClassifyBuild(atLine(1, errors.New(text)), "registry.example/app", goodCredentials, nil)
		if failure.Reason != want.reason || !strings.Contains(failure.Message, want.text) {
			t.Errorf("%s\ngot  %s %q\nwant %s %q", text, failure.Reason, failure.Message, want.reason, want.text)
		}
	}
	anonymous := buildkit.ClassifyBuild(errors.New(push+head+"401 Unauthorized"), "registry.example/app", noCredentials, nil)
	checkFailure(t, anonymous, tasks.ReasonRegistryAuth, "the registry wants credentials")
}

func TestLostConnections(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		status.Error(codes.Unavailable, "error reading from server: EOF"):                            true,
		status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing"`): true,
		status.Error(codes.Canceled, "grpc: the client connection is closing"):                       true,
		errors.New("failed to push x: dial tcp: connection refused"):                                 false,
		exited(2): false,
	} {
		if got := buildkit.IsConnectionLost(err); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}
