package buildkit

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
	exitpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// killedByKernel is the exit code of a shell whose program got signal 9.
const killedByKernel = 137

// buildFacts are what an error's text does not say.
type buildFacts struct {
	ref     imageRef
	creds   tasks.Credentials
	printer *printer
}

// credentialsAt reports whether the build had credentials for the registry.
func (f buildFacts) credentialsAt(host string) bool { return f.creds.Set() && host == f.ref.host() }

// classifyBuild makes the failure of what a solve returned. The daemon's
// errors carry the exit code, the step and the Dockerfile's line as values;
// what went wrong at a registry is in their text alone.
func classifyBuild(err error, facts buildFacts) *tasks.Failure {
	text := facts.printer.hidden(cleanError(err.Error()))
	var exit *exitpb.ExitError
	switch {
	case errors.As(err, &exit):
		return runFailed(err, int(exit.ExitCode), facts.printer.stepOfError(err))
	case isDiskFull(text):
		return tasks.Fail(tasks.ReasonDiskFull, "the builder's disk is full", err)
	case strings.HasPrefix(text, pushPrefix):
		return pushFailed(text, err, facts)
	case isPull(text):
		return pullFailed(text, err, facts)
	case escapedLink.MatchString(text):
		link := escapedLink.FindStringSubmatch(text)[1]
		return tasks.Fail(tasks.ReasonSourceInvalid, fmt.Sprintf("%q, which the Dockerfile copies, leaves the source", link), err)
	}
	if s := facts.printer.stepOfError(err); s != nil {
		return buildFailed(fmt.Sprintf("build failed at step %s: %s", quoted(s), text), err)
	}
	if where := dockerfileLine(err); where != "" {
		return buildFailed(where+": "+text, err)
	}
	switch grpcerrors.Code(err) {
	case codes.Unavailable, codes.Internal, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		return tasks.Fail(tasks.ReasonBuilderDown, "the builder failed: "+cut(text), err)
	}
	return buildFailed("build failed: "+text, err)
}

// escapedLink is how the file system that is sent to the daemon refuses a link.
var escapedLink = regexp.MustCompile(`\bstatat (\S+): path escapes from parent`)

// runFailed is the failure of a step whose program did not end with 0.
func runFailed(err error, code int, s *step) *tasks.Failure {
	if s == nil {
		s = newStep("RUN")
	}
	last := strings.Join(s.last, "\n")
	where := "build failed at step " + quoted(s)
	switch {
	case strings.Contains(err.Error(), "cannot allocate memory") || isOutOfMemory(code, last):
		return tasks.Fail(tasks.ReasonBuildOOM, fmt.Sprintf("%s: out of memory (exit code %d)", where, code), err)
	case isDiskFull(last):
		return tasks.Fail(tasks.ReasonDiskFull, where+": the builder's disk is full", err)
	}
	message := fmt.Sprintf("%s: exit code %d", where, code)
	if tail := s.tail(); tail != "" {
		message += ": " + tail
	}
	return buildFailed(message, err)
}

// isOutOfMemory reads the hints that a program without memory leaves. The
// kernel's kill alone is not enough: a timeout in a script kills in the same way.
func isOutOfMemory(code int, output string) bool {
	output = strings.ToLower(output)
	if strings.Contains(output, "heap out of memory") {
		return true
	}
	return code == killedByKernel && (strings.Contains(output, "killed") || strings.Contains(output, "out of memory") ||
		strings.Contains(output, "cannot allocate memory"))
}

func isDiskFull(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}

func buildFailed(message string, err error) *tasks.Failure {
	return tasks.Fail(tasks.ReasonBuildFailed, cut(message), err)
}

// stepOfError returns the step in which the error arose, nil where none is known.
func (p *printer) stepOfError(err error) *step {
	var vertex *errdefs.VertexError
	if !errors.As(err, &vertex) {
		return nil
	}
	return p.byVertex[vertex.GetDigest()]
}

// dockerfileLine is "path/Dockerfile:3" for an error that has a place.
func dockerfileLine(err error) string {
	for _, source := range errdefs.Sources(err) {
		if source.Info != nil && len(source.Ranges) > 0 {
			return fmt.Sprintf("%s:%d", source.Info.Filename, source.Ranges[0].Start.Line)
		}
	}
	return ""
}

// connectionLost are what the connection to the daemon says when it breaks.
var connectionLost = []string{
	"error reading from server", "transport is closing", "connection error: desc",
	"client connection is closing", "use of closed network connection", "no active session",
}

// isConnectionLost reports whether the daemon went away, as opposed to having
// answered with an error.
func isConnectionLost(err error) bool {
	code := grpcerrors.Code(err)
	if code != codes.Unavailable && code != codes.Canceled && code != codes.Unknown {
		return false
	}
	text := err.Error()
	for _, sign := range connectionLost {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// noise are parts of the daemon's messages that say how it is built and not
// what went wrong.
var noise = regexp.MustCompile(`^(failed to solve: |failed to load LLB: |failed to compute cache key: |` +
	`failed to calculate checksum of ref \S+: |dockerfile parse error on line \d+: |rpc error: code = \w+ desc = )`)

// cleanError is the daemon's message on one line without its wrapping.
func cleanError(text string) string {
	text = oneLine(text)
	for noise.MatchString(text) {
		text = noise.ReplaceAllString(text, "")
	}
	return text
}

// messageBytes is the most that a failure's message may take.
const messageBytes = 500

// cut shortens a message that is too long for a header or a screen. It cuts
// between words and leaves out the whole word that is too much: half of a
// secret would be found by nobody who hides secrets after us.
func cut(text string) string { return cutWords(text, messageBytes) }

func cutWords(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := strings.LastIndexByte(text[:most-len(" …")+1], ' ')
	return text[:max(0, end)] + " …"
}

// quoted is a step's command in quotes, short enough to leave room for the rest.
func quoted(s *step) string { return `"` + cutWords(s.command(), quotedBytes) + `"` }

// quotedBytes is the most that is quoted of a step's command.
const quotedBytes = 120
