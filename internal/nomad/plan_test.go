package nomad_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const diffAnswer = `{
  "Diff": {"Type": "Edited", "ID": "web", "Fields": [
      {"Type": "Edited", "Name": "Meta[dispatchd.task_id]", "Old": "a", "New": "b"},
      {"Type": "None", "Name": "Priority", "Old": "50", "New": "50"}],
    "TaskGroups": [
      {"Type": "Edited", "Name": "web", "Fields": [{"Type": "Edited", "Name": "Count", "Old": "1", "New": "2"}], "Tasks": [
        {"Type": "Edited", "Name": "web", "Objects": [{"Type": "Edited", "Name": "Config", "Fields": [
          {"Type": "Edited", "Name": "image", "Old": "web@sha256:1", "New": "web@sha256:2"}, {"Type": "Added", "Name": "args[0]", "New": "x"}]}]}]},
      {"Type": "Edited", "Name": "same", "Tasks": [{"Type": "None", "Name": "t"}]},
      {"Type": "Deleted", "Name": "old", "Fields": [{"Type": "Deleted", "Name": "Count", "Old": "1"}]}]},
  "FailedTGAllocs": {"web": {"NodesEvaluated": 1, "NodesExhausted": 1, "DimensionExhausted": {"memory": 1}}},
  "Warnings": "be careful"
}`

func TestPlanSaysWhatWouldChange(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.script("PUT /v1/jobs/parse", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"ID": "web", "TaskGroups": [{"Name": "web", "Tasks": [{"Name": "web", "Resources": {"MemoryMB": 900000}}]}]}`)
	})
	f.script("PUT /v1/job/web/plan", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, diffAnswer) })
	got, err := f.client(t, nomad.Options{}).Plan(t.Context(), tasks.Cluster{}, tasks.JobSpec{JobID: "web", HCL: []byte("job"), TaskID: "t1"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"~ job web", "  ~ group web", `    ~ Count: "1" => "2"`, "    ~ task web", "      ~ Config",
		`        ~ image: "web@sha256:1" => "web@sha256:2"`, `        + args[0]: "x"`, "  - group old", `    - Count: "1"`,
	}
	if diff := cmp.Diff(want, got.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if len(got.Unplaced) != 1 || !strings.Contains(got.Unplaced[0], "memory") || got.Warnings != "be careful" {
		t.Errorf("plan: %+v, want that memory is missing", got)
	}
	f.script("PUT /v1/job/web/plan", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) })
	_, err = f.client(t, nomad.Options{}).Plan(t.Context(), tasks.Cluster{}, tasks.JobSpec{JobID: "web", HCL: []byte("job")})
	var failure *tasks.Failure
	if !errors.As(err, &failure) || failure.Reason != tasks.ReasonNomadAuth {
		t.Errorf("a refused plan: %v", err)
	}
}
