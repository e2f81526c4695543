package tasks_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// constantsOf lists the values of a file's string constants of one type.
func constantsOf(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != typeName {
			return true
		}
		for _, value := range spec.Values {
			if text, ok := value.(*ast.BasicLit); ok {
				unquoted, err := strconv.Unquote(text.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, unquoted)
			}
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typeName)
	}
	return values
}

func TestFailureTableHasOneRowForEachReason(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, row := range tasks.Failures() {
		rows = append(rows, string(row.Reason))
		if got := row.Reason.Row(); got != row {
			t.Errorf("%s.Row() = %+v, want its own row %+v", row.Reason, got, row)
		}
	}
	constants := constantsOf(t, "failure.go", "Reason")
	slices.Sort(rows)
	slices.Sort(constants)
	if diff := cmp.Diff(constants, rows); diff != "" {
		t.Errorf("constants and rows (-constants +rows):\n%s", diff)
	}
}

func TestFailureTableIsFilledIn(t *testing.T) {
	t.Parallel()
	faults, classes := constantsOf(t, "failure.go", "Fault"), constantsOf(t, "failure.go", "Class")
	usedFaults, usedClasses := map[string]bool{}, map[string]bool{}
	for _, row := range tasks.Failures() {
		if !slices.Contains(faults, string(row.Fault)) || !slices.Contains(classes, string(row.Class)) || row.Message == "" {
			t.Errorf("row %+v", row)
		}
		if row.Retryable() != (row.Class == tasks.ClassTransient) {
			t.Errorf("%s: retryable %v with class %s", row.Reason, row.Retryable(), row.Class)
		}
		usedFaults[string(row.Fault)], usedClasses[string(row.Class)] = true, true
	}
	if len(usedFaults) != len(faults) || len(usedClasses) != len(classes) {
		t.Errorf("faults %v of %v, classes %v of %v", usedFaults, faults, usedClasses, classes)
	}
}

func TestFailuresIsACopy(t *testing.T) {
	t.Parallel()
	tasks.Failures()[0].Message = "changed"
	if tasks.Failures()[0].Message == "changed" {
		t.Error("the table can be changed through Failures")
	}
}

func TestAnUnknownReasonIsInternal(t *testing.T) {
	t.Parallel()
	if got := tasks.Reason("moon").Row().Reason; got != tasks.ReasonInternal {
		t.Errorf("Row() = %s", got)
	}
}

func TestAsFailureFindsTheFailure(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	failure := tasks.Fail(tasks.ReasonGitAuth, "", cause)
	if got := tasks.AsFailure(fmt.Errorf("wrapped: %w", failure)); got != failure {
		t.Errorf("AsFailure = %v", got)
	}
	if got := tasks.AsFailure(cause); got.Reason != tasks.ReasonInternal || !errors.Is(got, cause) {
		t.Errorf("AsFailure of any error = %+v", got)
	}
	if got := tasks.AsFailure(nil); got != nil {
		t.Errorf("AsFailure(nil) = %v", got)
	}
	if got, want := failure.Error(), "the git provider refused the token: cause"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got := tasks.Fail(tasks.ReasonGitAuth, "no: cause", cause).Error(); got != "no: cause" {
		t.Errorf("Error() = %q says the cause twice", got)
	}
}

func TestStagesHaveOneRowEach(t *testing.T) {
	t.Parallel()
	var stages []string
	phases := constantsOf(t, "stage.go", "Phase")
	for _, stage := range tasks.Stages() {
		stages = append(stages, string(stage))
		if !slices.Contains(phases, string(stage.Phase())) {
			t.Errorf("%s has the unknown phase %s", stage, stage.Phase())
		}
	}
	if diff := cmp.Diff(constantsOf(t, "stage.go", "Stage"), stages); diff != "" {
		t.Errorf("constants and table (-constants +table):\n%s", diff)
	}
	want := map[tasks.Stage]tasks.Phase{
		tasks.StageAccept: "init", tasks.StageClone: "clone", tasks.StageConfigure: "init", tasks.StageResolve: "registry", tasks.StageBuild: "build",
		tasks.StagePush: "registry", tasks.StageRender: "deploy", tasks.StageRegister: "deploy", tasks.StageWatch: "release", tasks.StageDestroy: "deploy", "moon": "init",
	}
	for stage, phase := range want {
		if got := stage.Phase(); got != phase {
			t.Errorf("%s.Phase() = %s, want %s", stage, got, phase)
		}
	}
}
