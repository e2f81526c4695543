package buildkit

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// limited says that a registry counts our requests, how long it asks to wait
// where it says so, and what helps.
func limited(host string, wait time.Duration, credentials bool) string {
	text := "the registry limits our requests"
	if host != "" {
		text = fmt.Sprintf("registry %s limits our requests", host)
	}
	if wait > 0 {
		text += fmt.Sprintf(" and asks to wait %s", wait)
	}
	if host == tasks.DockerHub && !credentials {
		// Its answer has no time in it: the window slides over six hours.
		text += "; pulls without credentials are counted over 6 hours for each address, so give credentials or use a mirror"
	}
	return text
}

// waitText is how some registries write the wait into their error's message,
// which is all that the daemon passes on: "retry-after: 573.1µs, allowed: …".
var waitText = regexp.MustCompile(`(?i)retry[- ]after:? "?([0-9][0-9.a-zµ]*)`)

// waitIn reads the wait out of a message; 0 where there is none.
func waitIn(text string) time.Duration {
	found := waitText.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	if seconds, err := strconv.Atoi(found[1]); err == nil {
		return time.Duration(seconds) * time.Second
	}
	wait, err := time.ParseDuration(found[1])
	if err != nil || wait < time.Second {
		return 0
	}
	return wait.Round(time.Second)
}

// addressText finds the host of an address in a message.
var addressText = regexp.MustCompile(`https?://([^/\s"?]+)`)

// hostIn is the registry's host in a message; empty where there is none.
func hostIn(text string) string {
	found := addressText.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	if sameRegistry(found[1], tasks.DockerHub) || strings.HasSuffix(found[1], "."+tasks.DockerHub) {
		return tasks.DockerHub
	}
	return found[1]
}

// limitNote is what a registry said of its limit while one image was read.
type limitNote struct{ wait time.Duration }

// noteKey finds the note of a request's context.
type noteKey struct{}

func withNote(ctx context.Context, note *limitNote) context.Context {
	return context.WithValue(ctx, noteKey{}, note)
}

// noteLimit remembers the wait that an answer asks for: the registry's client
// keeps no headers in its errors. Its requests come one after the other.
func noteLimit(response *http.Response) {
	note, ok := response.Request.Context().Value(noteKey{}).(*limitNote)
	if !ok || response.StatusCode != http.StatusTooManyRequests {
		return
	}
	note.wait = retryAfter(response.Header.Get("Retry-After"), time.Now())
}

// retryAfter reads the header, which holds seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return at.Sub(now).Round(time.Second)
	}
	return 0
}
