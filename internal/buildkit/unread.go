package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var (
	errNoManifest = errors.New("the answer is no image manifest")
	errNoTLS      = errors.New("not listed as a registry without TLS")
)

// isUnknownImage reports whether the registry says that there is no such image.
func isUnknownImage(err error) bool {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return false
	}
	for _, d := range answer.Errors {
		if d.Code == transport.ManifestUnknownErrorCode || d.Code == transport.NameUnknownErrorCode {
			return true
		}
	}
	return answer.StatusCode == http.StatusNotFound
}

// passing returns the reason of a fault that may be gone in a moment; false
// where the registry's answer will not change by itself.
func passing(err error) (tasks.Reason, bool) {
	var answer *transport.Error
	var network net.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusTooManyRequests:
		return tasks.ReasonRegistryLimited, true
	case errors.As(err, &answer):
		return tasks.ReasonRegistryDown, answer.StatusCode >= http.StatusInternalServerError
	default:
		return tasks.ReasonRegistryDown, errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)
	}
}

// unread is an image whose registry did not show it.
type unread struct {
	ref   imageRef
	creds tasks.Credentials
	// wait is how long the registry asks to wait; 0 where it does not say.
	wait time.Duration
}

// because says in one sentence why an image has no digest.
func (u unread) because(err error) string {
	host := u.ref.host()
	var answer *transport.Error
	var network net.Error
	switch {
	case errors.As(err, &answer):
		return u.refused(answer.StatusCode)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("registry %s did not answer in time", host)
	case errors.Is(err, errNoTLS), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fmt.Sprintf("registry %s does not speak TLS and is not listed as one that need not", host)
	case errors.Is(err, errNoManifest):
		return fmt.Sprintf("registry %s did not answer with an image", host)
	default:
		return fmt.Sprintf("registry %s cannot be reached", host)
	}
}

func (u unread) refused(status int) string {
	host := u.ref.host()
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		if u.creds.Set() {
			return fmt.Sprintf("registry %s refused the credentials", host)
		}
		// Docker Hub answers so for images that do not exist, too.
		return fmt.Sprintf("registry %s does not show the image without credentials; it may be private, or not exist", host)
	case status == http.StatusTooManyRequests:
		return limited(host, u.wait, u.creds.Set())
	default:
		return fmt.Sprintf("registry %s answered with status %d", host, status)
	}
}
