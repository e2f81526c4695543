package nomad

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// subject is how a message names what it is about.
func subject(job string) string {
	if job == "" {
		return "Nomad"
	}
	return "job " + job
}

// fail makes a failure whose message names the job. Where there is none, a
// message that begins with Nomad says itself what it is about.
func (s *session) fail(reason tasks.Reason, message string, err error) *tasks.Failure {
	if s.job != "" || !strings.HasPrefix(message, "Nomad ") {
		message = subject(s.job) + ": " + message
	}
	return tasks.Fail(reason, message, err)
}

// wrap turns an error of Nomad's client into a failure that says what was
// tried. An ended context beats whatever it made the request return.
func (s *session) wrap(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failure := (*tasks.Failure)(nil); errors.As(err, &failure) {
		return failure
	}
	switch reason := reasonOf(err); reason {
	case tasks.ReasonNomadAuth:
		return s.fail(reason, "Nomad refused the token ("+what+")", err)
	case tasks.ReasonJobRejected:
		return s.fail(reason, "Nomad refused the job: "+sentence(err), err)
	default:
		return s.fail(reason, "Nomad does not answer as it should ("+what+"): "+plain(err), err)
	}
}

// answer returns the status and body where Nomad, or what stands in its place, gave one.
func answer(err error) (code int, body string) {
	var unexpected api.UnexpectedResponseError
	if errors.As(err, &unexpected) {
		return unexpected.StatusCode(), unexpected.Body()
	}
	return 0, ""
}

// isNotFound reports whether the server says that the object does not exist.
func isNotFound(err error) bool {
	code, _ := answer(err)
	return code == http.StatusNotFound
}

// noToken is a part of the answer, with status 500, to a token that has not
// even the form of one.
const noToken = "UUID must be 36 characters"

// isForbidden reports whether the server refuses the token.
func isForbidden(err error) bool {
	code, body := answer(err)
	return code == http.StatusForbidden || code == http.StatusUnauthorized || strings.Contains(body, noToken)
}

// isConflict reports whether the job changed since its index was read. Nomad
// has only the text to say so.
func isConflict(err error) bool {
	_, body := answer(err)
	return strings.Contains(body, "Enforcing job modify index")
}

// refusals are parts of the answers with which Nomad refuses a job for good,
// although it sends them with status 500 as it does what is only transient.
var refusals = []string{
	"error occurred:", "errors occurred:", "nonexistent", "cannot update", "can't be submitted", "not enabled",
	"missing vault token", "doesn't allow", "token denied", "consul connect", "mismatched request namespace",
	"no path to region", "read-only", "invalid", "must be", "not allowed", "is required", "validation failed",
}

// reasonOf classifies an answer: a refusal of the token, a refusal of what was
// asked, or a Nomad that is not well.
func reasonOf(err error) tasks.Reason {
	code, body := answer(err)
	switch {
	case isForbidden(err):
		return tasks.ReasonNomadAuth
	case isConflict(err):
		return tasks.ReasonJobConflict
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge:
		return tasks.ReasonJobRejected
	case code == http.StatusInternalServerError && containsAny(strings.ToLower(body), refusals):
		return tasks.ReasonJobRejected
	}
	return tasks.ReasonNomadDown
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// listHead introduces a list in the text of several errors or warnings.
var listHead = regexp.MustCompile(`\d+ (errors? occurred|warnings?):`)

// sentence is Nomad's answer as one line. It is whole: who cuts a text before
// the secrets in it are masked may leave half a secret at its end.
func sentence(err error) string {
	_, body := answer(err)
	if body == "" {
		body = err.Error()
	}
	return oneLine(points(body))
}

// points are the lines of one of Nomad's lists, without their bullets.
func points(text string) []string {
	var all []string
	for line := range strings.Lines(listHead.ReplaceAllString(text, "")) {
		if line = strings.TrimPrefix(strings.TrimSpace(line), "* "); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// oneLine joins points; one that ends in a colon introduces the next.
func oneLine(points []string) string {
	text := ""
	for _, point := range points {
		switch {
		case text == "" || strings.HasSuffix(text, ":"):
			text = strings.TrimSpace(text + " " + point)
		default:
			text += "; " + point
		}
	}
	return text
}

// plain says in our own words what kind of trouble the answer is; the cause
// itself may name hosts and is for the operator.
func plain(err error) string {
	code, body := answer(err)
	switch {
	case strings.Contains(body, "No cluster leader"):
		return "it has no leader"
	case code >= 300 && code < 400:
		return fmt.Sprintf("it redirects (status %d)", code)
	case code != 0:
		return fmt.Sprintf("status %d", code)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case containsAny(err.Error(), []string{"invalid character", "cannot unmarshal", "0 byte response", "unexpected EOF", "EOF", "gzip", "larger than"}):
		return "its answer is not one of Nomad's"
	}
	return "it cannot be reached"
}
