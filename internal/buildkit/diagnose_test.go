package buildkit_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// uploads is a registry that takes the beginning of an upload from one user.
type uploads struct {
	mu    sync.Mutex
	asked []string
	// answer is the status of an upload's beginning.
	answer int
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, password, _ := r.BasicAuth()
	if name != "me" || password != "right" {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/v2/" {
		return
	}
	u.asked = append(u.asked, r.Method+" "+r.URL.Path)
	if r.Method == http.MethodPost {
		w.Header().Set("Location", "/v2/apps/probe/blobs/uploads/one")
		w.WriteHeader(u.answer)
	}
}

func TestTryPushBeginsAnUploadAndCancelsIt(t *testing.T) {
	t.Parallel()
	right := tasks.Credentials{Username: "me", Password: "right"}
	tests := []struct {
		name   string
		answer int
		creds  tasks.Credentials
		want   tasks.Reason
		asked  string
	}{
		{"may push", http.StatusAccepted, right, "", "POST /v2/apps/probe/blobs/uploads/ DELETE /v2/apps/probe/blobs/uploads/one"},
		{"may only pull", http.StatusForbidden, right, tasks.ReasonRegistryAuth, "POST /v2/apps/probe/blobs/uploads/"},
		{"wrong password", http.StatusAccepted, tasks.Credentials{Username: "me", Password: "hunter2"}, tasks.ReasonRegistryAuth, ""},
		{"no credentials", http.StatusAccepted, tasks.Credentials{}, tasks.ReasonRegistryAuth, ""},
		{"a registry that is not well", http.StatusInternalServerError, right, tasks.ReasonRegistryDown, "POST /v2/apps/probe/blobs/uploads/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := &uploads{answer: test.answer}
			server := httptest.NewServer(u)
			defer server.Close()
			registry := buildkit.NewRegistry(buildkit.RegistryOptions{})
			defer registry.Close()
			err := registry.TryPush(t.Context(), strings.TrimPrefix(server.URL, "http://"), "apps/probe", test.creds)
			var failure *tasks.Failure
			switch {
			case test.want == "" && err != nil, test.want != "" && (!errors.As(err, &failure) || failure.Reason != test.want):
				t.Errorf("TryPush() = %v, want %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error shows the password: %v", err)
			}
			if got := strings.Join(u.asked, " "); got != test.asked {
				t.Errorf("asked for %q, want %q", got, test.asked)
			}
		})
	}
	registry := buildkit.NewRegistry(buildkit.RegistryOptions{})
	defer registry.Close()
	var failure *tasks.Failure
	if err := registry.TryPush(t.Context(), "127.0.0.1:1", "apps/probe", right); !errors.As(err, &failure) || failure.Reason != tasks.ReasonRegistryDown {
		t.Errorf("nobody there: %v", err)
	}
}
