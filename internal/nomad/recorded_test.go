package nomad_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const recorded = "testdata/nomad-1.6.1"

// load reads a recorded answer of a real Nomad.
func load[T any](t *testing.T, scenario, file string) T {
	t.Helper()
	var value T
	text, err := os.ReadFile(filepath.Join(recorded, scenario, file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestWatchOfRecordedAnswers gives the watch what a real Nomad answered.
func TestWatchOfRecordedAnswers(t *testing.T) {
	t.Parallel()
	for scenario, c := range map[string]struct {
		reason tasks.Reason
		want   string
	}{
		"healthy": {},
		"batch":   {},
		"crash":   {tasks.ReasonCrashed, "the app crashed: exit code 3 (1 restart)"},
		"check":   {tasks.ReasonUnhealthy, `health check "web" on port http failed: status 500`},
		"memory":  {tasks.ReasonPlacementFailed, "memory exhausted on 1 of 1 nodes (asked for 80000 MiB)"},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := load[tasks.Registration](t, scenario, "registration")
			for name, file := range map[string]string{"": "job", "/deployments": "deployments", "/allocations": "allocations", "/evaluations": "evaluations", "/versions": "versions"} {
				answer := load[json.RawMessage](t, scenario, file)
				f.script("GET /v1/job/"+reg.JobID+name, func(w http.ResponseWriter, _ *http.Request) { reply(w, 1, answer) })
			}
			if scenario == "check" {
				checks := load[api.AllocCheckStatuses](t, scenario, "checks")
				f.checks[load[[]api.AllocationListStub](t, scenario, "allocations")[0].ID] = checks
			}
			_, _, err := watch(t, f, nomad.Options{}, reg)
			if c.reason == "" && err != nil {
				t.Errorf("got %v, want success", err)
			} else if c.reason != "" {
				wantFailure(t, err, c.reason, c.want)
			}
		})
	}
}

func TestARecordedConflictIsOne(t *testing.T) {
	t.Parallel()
	conflict := load[struct {
		Status int
		Body   string
	}](t, "healthy", "conflict")
	f := newFake(t)
	f.script("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, conflict.Body, conflict.Status) })
	_, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
	wantFailure(t, err, tasks.ReasonJobConflict)
}

// TestTheFakeAnswersLikeNomad compares the fake's answers with recorded ones:
// each value that the fake gives has the name and type that Nomad gives it.
func TestTheFakeAnswersLikeNomad(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	reg := f.seed(webJob("service", 1))
	f.setAllocs("web", alloc(reg, "a1", "failed", ptr(false), dead(2, event("Started", "s"), exit("3"))))
	f.setDeployment(reg, "running", "Deployment is running", api.DeploymentState{DesiredTotal: 1, PlacedAllocs: 1, UnhealthyAllocs: 1})
	f.setEvals(&api.Evaluation{ID: "b", Status: "blocked", PreviousEval: "e", FailedTGAllocs: map[string]*api.AllocationMetric{
		"web": {NodesEvaluated: 1, NodesExhausted: 1, DimensionExhausted: map[string]int{"memory": 1}},
	}})
	f.checks["a1"] = api.AllocCheckStatuses{"c": {ID: "c", Check: "alive", Service: "web", Mode: "healthiness", Status: "failure", StatusCode: 500}}
	for path, file := range map[string]string{
		"job/web/allocations": "crash/allocations", "job/web/deployments": "crash/deployments", "job/web/evaluations": "memory/evaluations",
		"job/web/versions": "check/versions", "job/web": "check/job", "jobs?prefix=web": "healthy/jobs", "client/allocation/a1/checks": "check/checks",
	} {
		var got any
		if err := json.Unmarshal(f.read(t, path), &got); err != nil {
			t.Fatal(err)
		}
		scenario, name := filepath.Split(file)
		compareShape(t, path, got, load[any](t, scenario, name))
	}
}

func (f *fake) read(t *testing.T, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/v1/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := f.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// compareShape walks both answers; lists are compared by their first element,
// and a map with free keys by any of its values.
func compareShape(t *testing.T, where string, got, want any) {
	t.Helper()
	if strings.HasSuffix(where, ".Config") {
		return // A driver's own configuration has any shape.
	}
	switch got := got.(type) {
	case map[string]any:
		other, ok := want.(map[string]any)
		if !ok {
			t.Errorf("%s is an object, Nomad's is %T", where, want)
			return
		}
		for key, value := range got {
			if isZero(value) {
				continue
			}
			matching, known := other[key]
			if !known && hasFreeKeys(where) {
				for _, matching = range other {
					known = true
				}
			}
			if !known {
				t.Errorf("%s: Nomad has no %q", where, key)
				continue
			}
			compareShape(t, where+"."+key, value, matching)
		}
	case []any:
		other, ok := want.([]any)
		if !ok {
			t.Errorf("%s is a list, Nomad's is %T", where, want)
		} else if len(got) > 0 && len(other) > 0 {
			compareShape(t, where+"[]", got[0], other[0])
		}
	default:
		if want != nil && fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			t.Errorf("%s is a %T, Nomad's a %T", where, got, want)
		}
	}
}

func isZero(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	}
	return value == "" || value == "0001-01-01T00:00:00Z" || value == false || value == 0.0
}

// hasFreeKeys tells the objects whose keys are names that a job chose.
func hasFreeKeys(where string) bool {
	for _, end := range []string{"checks", "Details", "DimensionExhausted", "TaskGroups", "TaskStates", "FailedTGAllocs", "Meta"} {
		if strings.HasSuffix(where, end) {
			return true
		}
	}
	return false
}
