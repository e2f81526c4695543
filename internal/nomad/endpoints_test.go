package nomad_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, body)
		}
	}
	f.script("GET /v1/allocation/a1", answer(200, `{"AllocatedResources": {"Shared": {"Ports": [
		{"Label": "9090", "Value": 25001, "To": 9090, "HostIP": "10.0.0.5"}, {"Label": "8080", "Value": 25000, "To": 8080, "HostIP": "10.0.0.5"}]}}}`))
	f.script("GET /v1/allocation/a2", answer(200, `{"AllocatedResources": {"Shared": {"Ports": [{"Label": "53", "Value": 53, "HostIP": "fd00::1"}]}}}`))
	f.script("GET /v1/allocation/a3", answer(200, `{}`))
	f.script("GET /v1/allocation/a4", answer(403, "Permission denied"))
	f.script("GET /v1/allocation/a5", answer(404, "alloc not found"))
	got, err := f.client(t, nomad.Options{}).Endpoints(t.Context(), tasks.Cluster{}, []string{"a1", "a2", "a3", "a4", "a5"})
	if err != nil {
		t.Fatal(err)
	}
	want := []tasks.Endpoint{{Port: 53, Address: "[fd00::1]:53"}, {Port: 8080, Address: "10.0.0.5:25000"}, {Port: 9090, Address: "10.0.0.5:25001"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	f.script("GET /v1/allocation/a1", answer(500, "no leader"))
	if _, err := f.client(t, nomad.Options{}).Endpoints(t.Context(), tasks.Cluster{}, []string{"a1"}); err == nil {
		t.Error("a Nomad that is not well gives endpoints")
	}
}
