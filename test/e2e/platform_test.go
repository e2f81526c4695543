//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// platformAPI is a platform that keeps what it is told.
type platformAPI struct {
	*httptest.Server
	mu     sync.Mutex
	told   []string
	tokens map[string]bool
}

func newPlatformAPI(t *testing.T) *platformAPI {
	t.Helper()
	p := &platformAPI{tokens: map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Step, Status, ServiceID string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		p.mu.Lock()
		defer p.mu.Unlock()
		place := strings.TrimPrefix(r.URL.Path, "/api/local/")
		p.told = append(p.told, strings.Join(strings.Fields(place+" "+body.Step+" "+body.Status+" "+body.ServiceID), " "))
		p.tokens[r.URL.Query().Get("accessToken")] = true
		_, _ = w.Write([]byte(`{"domain":"given-by-the-platform"}`))
	}))
	t.Cleanup(p.Close)
	return p
}

func TestThePlatformsAPIHearsADeployment(t *testing.T) {
	t.Parallel()
	api := newPlatformAPI(t)
	source := newSource(t, sample(t, testbed.Sample{Version: "1"}))
	const token = "access-token-of-the-test"
	w := newWorld(t, worldOptions{env: []string{github(source), "BACKEND_URL=" + api.URL, "ACCESS_TOKEN=" + token}})
	worker := w.start()
	k := repository(t, "told", "acme/app")
	networks, _ := k.params["networks"].([]params)
	networks[0]["public"] = true
	s := w.send(k.with(params{"clusterDomain": "apps.example"}))
	w.succeeded(s, patience)
	var want []string
	for _, step := range []string{"clone", "build", "registry", "deploy", "release"} {
		for _, status := range []string{"in_progress", "completed"} {
			want = append(want, "deployment-step/update "+step+" "+status)
		}
	}
	want = append(want, "service-update/ srv-1")
	api.mu.Lock()
	defer api.mu.Unlock()
	asked := 0
	for i, call := range api.told {
		if call == "ask-domain" {
			api.told, asked = append(api.told[:i:i], api.told[i+1:]...), asked+1
			break
		}
	}
	if diff := cmp.Diff(want, api.told); diff != "" || asked != 1 {
		t.Errorf("%d questions for a domain; the platform heard (-want +got):\n%s", asked, diff)
	}
	if !api.tokens[token] || len(api.tokens) != 1 {
		t.Errorf("tokens: %v", api.tokens)
	}
	wantAll(t, "the job", jobText(t, k.job()), "urlprefix-given-by-the-platform.apps.example")
	if text := worker.err.String() + w.logText(s); strings.Contains(text, token) {
		t.Error("the token is shown")
	}
}

func TestAPlatformThatHangsIsNotInTheWay(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(api.Close)
	t.Cleanup(func() { close(release) })
	w := newWorld(t, worldOptions{env: []string{"BACKEND_URL=" + api.URL, "ACCESS_TOKEN=x"}})
	worker := w.start()
	k := image(t, "untold", "hello", "1").with(params{"deploy": "noop", "networks": []params{}})
	began := time.Now()
	s := w.send(k)
	w.succeeded(s, patience)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a deployment that asks nobody else took %s", took)
	}
	wantAll(t, "the worker's log", worker.err.String(), "tell the platform's API")
}
