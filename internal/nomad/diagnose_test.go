package nomad_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// cannedNomad answers each path with a text; one that begins with a digit is a
// status. It notes what was asked for.
type cannedNomad struct {
	answers map[string]string

	mu    sync.Mutex
	asked []string
}

func (c *cannedNomad) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	c.mu.Unlock()
	text, ok := c.answers[r.URL.Path]
	switch {
	case !ok:
		http.Error(w, "not found", http.StatusNotFound)
	case strings.HasPrefix(text, "403"):
		http.Error(w, "Permission denied", http.StatusForbidden)
	case strings.HasPrefix(text, "400"):
		http.Error(w, text[4:], http.StatusBadRequest)
	default:
		_, _ = w.Write([]byte(text))
	}
}

// diagnosed is a client of a Nomad that gives these answers.
func diagnosed(t *testing.T, answers map[string]string) (*nomad.Client, *cannedNomad) {
	t.Helper()
	canned := &cannedNomad{answers: answers}
	server := httptest.NewServer(canned)
	t.Cleanup(server.Close)
	client, err := nomad.New(nomad.Options{Address: server.URL, Token: "secret", Namespace: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, canned
}

func failsWith(t *testing.T, err error, reason tasks.Reason) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) || failure.Reason != reason {
		t.Errorf("error %v, want %s", err, reason)
	}
}

func TestAgentSaysItsVersionAndItsLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]nomad.Agent{
		`{"member":{"Tags":{"build":"1.6.1"}},"config":{"Client":{"Enabled":true,"MaxKillTimeout":"45s"}}}`:  {Version: "1.6.1", Client: true, MaxKillTimeout: 45 * time.Second},
		`{"member":{"Tags":{"build":"2.0.4"}},"config":{"Client":{"Enabled":false,"MaxKillTimeout":"30s"}}}`: {Version: "2.0.4"},
		`{"member":{},"config":{"Client":"odd"}}`:                                                            {},
	} {
		client, _ := diagnosed(t, map[string]string{"/v1/agent/self": text})
		got, err := client.Agent(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Agent() of %s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	denied, _ := diagnosed(t, map[string]string{"/v1/agent/self": "403"})
	_, err := denied.Agent(t.Context())
	failsWith(t, err, tasks.ReasonNomadAuth)
	away, _ := diagnosed(t, nil)
	_, err = away.Agent(t.Context())
	failsWith(t, err, tasks.ReasonNomadDown)
}

func TestTokenSaysWhoItIs(t *testing.T) {
	t.Parallel()
	client, _ := diagnosed(t, map[string]string{"/v1/acl/token/self": `{"Name":"worker","Type":"client","Policies":["p"],"Roles":[{"Name":"r"}],"ExpirationTime":"2030-01-02T03:04:05Z","SecretID":"secret"}`})
	got, err := client.Token(t.Context())
	want := nomad.Token{Name: "worker", Type: "client", Policies: []string{"p", "role r"}, Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Token(): %v (-want +got):\n%s", err, diff)
	}
	open, _ := diagnosed(t, map[string]string{"/v1/acl/token/self": "400 ACL support disabled"})
	if got, err := open.Token(t.Context()); err != nil || !got.Off {
		t.Errorf("Token() without access control = %+v, %v", got, err)
	}
	unknown, _ := diagnosed(t, nil)
	_, err = unknown.Token(t.Context())
	failsWith(t, err, tasks.ReasonNomadAuth)
}

func TestRightsAreTriedWithoutChangingAnything(t *testing.T) {
	t.Parallel()
	all := map[string]string{
		"/v1/jobs": `[]`, "/v1/jobs/parse": `{"ID":"dispatchd-doctor"}`, "/v1/job/dispatchd-doctor/plan": `{}`,
	}
	client, canned := diagnosed(t, all)
	for _, right := range client.Rights(t.Context()) {
		if right.Err != nil {
			t.Errorf("%s: %v", right.Capability, right.Err)
		}
	}
	want := []string{"GET /v1/jobs", "GET /v1/job/dispatchd-doctor", "PUT /v1/jobs/parse", "PUT /v1/job/dispatchd-doctor/plan"}
	if diff := cmp.Diff(want, canned.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	all["/v1/job/dispatchd-doctor/plan"] = "403"
	denied, _ := diagnosed(t, all)
	rights := denied.Rights(t.Context())
	failsWith(t, rights[3].Err, tasks.ReasonNomadAuth)
	if rights[3].Capability != "submit-job" || rights[0].Err != nil {
		t.Errorf("rights %+v", rights)
	}
}

func TestNodesSayTheirPlatformAndTheirDocker(t *testing.T) {
	t.Parallel()
	list, err := json.Marshal([]map[string]any{
		{"ID": "1", "Name": "a", "Version": "1.6.1", "Status": "ready", "Drivers": map[string]any{"docker": map[string]any{"Detected": true, "Healthy": true}}},
		{"ID": "2", "Name": "b", "Status": "ready", "Drivers": map[string]any{"docker": map[string]any{"Detected": true, "HealthDescription": "no daemon"}}},
		{"ID": "2", "Name": "c", "Status": "ready"},
		{"ID": "9", "Name": "gone", "Status": "down"},
	})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := diagnosed(t, map[string]string{
		"/v1/nodes": string(list), "/v1/node/1": `{"Attributes":{"kernel.name":"linux","cpu.arch":"arm64"}}`, "/v1/node/2": `{"Attributes":{}}`,
	})
	got, err := client.Nodes(t.Context())
	want := []nomad.Node{
		{Name: "a", Version: "1.6.1", Platform: "linux/arm64"},
		{Name: "b", Docker: "not healthy (no daemon)"},
		{Name: "c", Docker: "not found on the node"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Nodes(): %v (-want +got):\n%s", err, diff)
	}
	denied, _ := diagnosed(t, map[string]string{"/v1/nodes": "403"})
	_, err = denied.Nodes(t.Context())
	failsWith(t, err, tasks.ReasonNomadAuth)
}
