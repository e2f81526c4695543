package pack_test

import (
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestCheckVariablesNamesEveryPlace(t *testing.T) {
	t.Parallel()
	file := tasks.VariableFile{Name: "vars.hcl", Text: []byte(`count = "many"
cuont = 1
resources = {
  cpus = 1
}
network = [{ port = 80, helth_check = {} }]
user    = "1000"
`)}
	got, err := cloudstation().CheckVariables(tasks.ProjectDeploy{UseEmbedded: true}, file)
	if err != nil {
		t.Fatal(err)
	}
	want := `vars.hcl:1:9: variable count: a number is required; ` +
		`vars.hcl:2:1: the pack has no variable "cuont", did you mean "count"?; ` +
		`vars.hcl:3:13: variable resources: there is no attribute "cpus", did you mean "cpu"?; ` +
		`vars.hcl:6:11: variable network[0]: there is no attribute "helth_check", did you mean "health_check"?`
	if got.Error() != want {
		t.Errorf("problems:\n%s\nwant\n%s", got, want)
	}
}

func TestCheckVariablesLeavesOtherFaultsToTheirReader(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"count = ", "block {}", ""} {
		got, err := cloudstation().CheckVariables(tasks.ProjectDeploy{UseEmbedded: true}, tasks.VariableFile{Name: "v", Text: []byte(text)})
		if err != nil || len(got) > 0 {
			t.Errorf("CheckVariables(%q) = %v, %v, want nothing", text, got, err)
		}
	}
	_, err := cloudstation().CheckVariables(tasks.ProjectDeploy{Pack: "acme", UseEmbedded: true}, tasks.VariableFile{})
	wantFailure(t, err, tasks.ReasonUnsupported, "does not embed")
}
