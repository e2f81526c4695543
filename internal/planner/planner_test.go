package planner_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
)

// nixpacksScript does what nixpacks 1.39.0 does with these arguments.
const nixpacksScript = `case $1 in
build) mkdir -p "$OUT/.nixpacks" && echo "FROM scratch" >"$OUT/.nixpacks/Dockerfile" && echo "planned"; echo "a warning" >&2 ;;
plan) echo 'a word before { "variables": {"CI":"true","MODE":"arg"}, "phases": {} }' | sed 's/^a word before //' ;;
esac`

func TestNixpacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan, err := w.plan(w.program("nixpacks 1.39.0", nixpacksScript), everything)
	if err != nil {
		t.Fatal(err)
	}
	want := tasks.BuildPlan{
		Program: "nixpacks 1.39.0", File: "plan/.nixpacks/Dockerfile", Assets: "plan/.nixpacks",
		Args: map[string]string{"CI": "true", "MODE": "arg"},
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	common := []string{
		"--build-cmd=npm run build -- --x", "--start-cmd=--start 'me'",
		"--env=MODE=arg", "--env=REGION=eu", "--env=TEXT=a b\n\"c\" $d",
	}
	build := append([]string{"build", filepath.Join(w.source), "--out=" + filepath.Join(w.dir, "plan"), "--cache-key=app"}, common...)
	if diff := cmp.Diff(build, w.args("build")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append([]string{"plan", w.source, "--format=json"}, common...), w.args("plan")); diff != "" {
		t.Error(diff)
	}
	// The two outputs are two streams: which line comes first is chance.
	if said := w.log.String(); said != "planned\na warning\n" && said != "a warning\nplanned\n" {
		t.Errorf("the log is %q", said)
	}
	w.checkDiscretion("build")
}

// railpackScript does what railpack 0.37.0 does with these arguments.
const railpackScript = `echo '{"$schema":"x","steps":[{"name":"build","secrets":["*"]}],"secrets":["MODE","REGION","TEXT"],"deploy":{"startCommand":"a"}}' >"$OUT"
echo "detected node"`

func TestRailpack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan, err := w.plan(w.program("railpack version 0.37.0", railpackScript), func(r *tasks.BuildRequest) { everything(r); railpack(r) })
	if err != nil {
		t.Fatal(err)
	}
	want := tasks.BuildPlan{
		Program: "railpack 0.37.0", File: "plan/railpack-plan.json", Frontend: "ghcr.io/railwayapp/railpack-frontend:v0.37.0",
		Variables: map[string]string{"MODE": "arg", "EMPTY": "", "REGION": "eu", "TEXT": "a b\n\"c\" $d"},
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	out := filepath.Join(w.dir, "plan")
	args := []string{
		"prepare", w.source, "--plan-out=" + out + "/railpack-plan.json", "--info-out=" + out + "/railpack-info.json", "--error-missing-start",
		"--build-cmd=npm run build -- --x", "--start-cmd=--start 'me'",
		"--env=MODE=arg", "--env=REGION=eu", "--env=TEXT=a b\n\"c\" $d",
	}
	if diff := cmp.Diff(args, w.args("prepare")); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(plan.File)))
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]any
	if err := json.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	wantPlan := map[string]any{
		"$schema": "x", "deploy": map[string]any{"startCommand": "a"},
		"steps":   []any{map[string]any{"name": "build", "secrets": []any{"*"}}},
		"secrets": []any{"API_KEY", "DB", "MODE", "REGION", "TEXT"},
	}
	if diff := cmp.Diff(wantPlan, written); diff != "" {
		t.Error(diff)
	}
	w.checkDiscretion("prepare")
}

// checkDiscretion looks at what a program was shown, and at what it left.
func (w *world) checkDiscretion(subcommand string) {
	w.t.Helper()
	env := w.env(subcommand)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(env)), func(name string) bool { return name == "PWD" || name == "_" || name == "SHLVL" || name == "OLDPWD" })
	if diff := cmp.Diff([]string{"HOME", "HTTPS_PROXY", "LANG", "NO_COLOR", "PATH"}, names); diff != "" {
		w.t.Errorf("the program's environment: %s", diff)
	}
	if entries, err := os.ReadDir(env["HOME"]); err != nil || len(entries) > 0 || !strings.HasPrefix(env["HOME"], w.dir) {
		w.t.Errorf("HOME is %s with %v (%v), want a fresh folder", env["HOME"], entries, err)
	}
	looked := 0
	for _, dir := range []string{w.calls, w.dir} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			looked++
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), "build-secret") || strings.Contains(string(text), "worker-secret") {
				w.t.Errorf("a secret stands in %s", path)
			}
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if looked < 4 {
		w.t.Errorf("looked at %d files only", looked)
	}
}

func TestRailpackFrontendOfTheOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	program := w.program("railpack version v0.20.1", railpackScript)
	p := planner.New(planner.Options{Railpack: program, RailpackFrontend: "mirror.example/frontend:1"})
	plan, err := p.Plan(t.Context(), tasks.BuildRequest{Builder: tasks.BuilderRailpack, Dir: w.source}, w.dir, w.log)
	if err != nil || plan.Frontend != "mirror.example/frontend:1" || plan.Program != "railpack 0.20.1" {
		t.Errorf("got %+v, %v", plan, err)
	}
}

func TestNixpacksInASubdirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan, err := w.plan(w.program("nixpacks 1.30.0", `[ "$1" = build ] && echo 'Using subdirectory "web app"'`+"\n"+nixpacksScript), nil)
	if err != nil || plan.Context != "web app" {
		t.Errorf("got context %q, %v", plan.Context, err)
	}
}

func TestProgramsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ program, want string }{
		"not installed":  {"no-such-program-anywhere", "nixpacks is not installed: install version 1.30.0 or newer, below 2.0.0, on the worker's PATH, or name one in DISPATCHD_NIXPACKS; a source with a Dockerfile needs none"},
		"too old":        {w.program("nixpacks 1.29.9", ""), "is version 1.29.9: install version 1.30.0 or newer"},
		"too new":        {w.program("nixpacks 2.0.0", ""), "is version 2.0.0: install"},
		"without answer": {w.program("I am nixpacks", ""), "does not say its version"},
		"broken":         {broken, "does not say its version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.plan(tc.program, nil)
			checkFailure(t, err, tasks.ReasonBuilderMissing, tc.want)
			w = newWorld(t)
			if _, err = w.plan(tc.program, railpack); err == nil {
				t.Error("railpack took the same program")
			}
		})
	}
}

func TestProgramsThatFail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		change func(*tasks.BuildRequest)
		reason tasks.Reason
		want   string
	}{
		"with words":     {"echo first; echo; printf '\\033[31mError:\\033[0m no  lockfile\\n' >&2; exit 1", nil, tasks.ReasonBuildFailed, "nixpacks cannot plan the build: "},
		"in silence":     {"exit 3", nil, tasks.ReasonBuildFailed, "nixpacks cannot plan the build: it said nothing"},
		"app unknown":    {"echo; echo 'Nixpacks was unable to generate a build plan for this app.'; echo; echo ' a.txt'; exit 1", nil, tasks.ReasonBuildFailed, "nixpacks does not know what kind of app this is: add a Dockerfile"},
		"for now":        {"echo 'dial tcp: timeout' >&2; exit 75", railpack, tasks.ReasonBuilderDown, "railpack cannot plan the build now: dial tcp: timeout"},
		"no Dockerfile":  {"exit 0", nil, tasks.ReasonBuildFailed, "nixpacks 1.39.0 made no Dockerfile"},
		"no plan":        {"exit 0", railpack, tasks.ReasonBuildFailed, "railpack 1.39.0 made a plan"},
		"no readable":    {`mkdir -p "$OUT/.nixpacks"; echo FROM x >"$OUT/.nixpacks/Dockerfile"; echo '{"variables": 1}'`, nil, tasks.ReasonBuildFailed, "nixpacks 1.39.0 made a plan that cannot be read"},
		"huge arguments": {"exit 0", func(r *tasks.BuildRequest) { r.BuildArgs = map[string]string{"A": strings.Repeat("x", 200<<10)} }, tasks.ReasonConfigInvalid, "the build arguments are too large for nixpacks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			version := "nixpacks 1.39.0"
			if strings.HasPrefix(tc.want, "railpack") {
				version = "railpack 0.37.0"
				tc.want = strings.Replace(tc.want, "1.39.0", "0.37.0", 1)
			}
			_, err := w.plan(w.program(version, tc.script), tc.change)
			checkFailure(t, err, tc.reason, tc.want)
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("the message %q is not one plain line", err)
			}
		})
	}
}

func TestLinksOutOfTheSourceAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		link, target, context string
		refused               bool
	}{
		"to a file of the worker": {"Procfile", "/etc/hostname", ".", true},
		"up and out":              {"app/Procfile", "../../../../../../../../etc/hostname", "app", true},
		"to a folder":             {"lib", "/etc", ".", true},
		"to nothing":              {"current", "/srv/no/such/thing", ".", false},
		"inside":                  {"app/README", "../package.json", "app", false},
		"beside the context":      {"Procfile", "/etc/hostname", "app", false},
		"of git":                  {".git/config", "/etc/hostname", ".", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("app/main.go", "package main")
			w.write(tc.link, "-> "+tc.target)
			_, err := w.plan(w.program("nixpacks 1.39.0", nixpacksScript), func(r *tasks.BuildRequest) { r.Context = tc.context })
			if tc.refused {
				checkFailure(t, err, tasks.ReasonSourceInvalid, `"`+tc.link+`" is a link that leaves the source, and nixpacks would follow it`)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
