package service

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	rulesDir  = "../../deploy/prometheus"
	dashboard = "../../deploy/grafana/dispatchd.json"
)

// TestAlertsPassPromtool checks the rules and runs their tests. CI has promtool.
func TestAlertsPassPromtool(t *testing.T) {
	t.Parallel()
	promtool := lookPromtool(t)
	for _, args := range [][]string{{"check", "rules", "dispatchd.rules.yml"}, {"test", "rules", "dispatchd.rules.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = rulesDir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func lookPromtool(t *testing.T) string {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err == nil {
		return promtool
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("this cannot be tested: %v (Debian's package prometheus has it)", err)
	}
	t.Skipf("not tested: %v (Debian's package prometheus has it)", err)
	return ""
}

var metricName = regexp.MustCompile(`\bdispatchd_[a-z_]+`)

// TestAlertsAndDashboardNameMetricsThatAreThere also holds the documents to
// them: a name that nothing exports would never fire and never draw.
func TestAlertsAndDashboardNameMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	var known []string
	for _, line := range scrape(t, everyMetric(t)) {
		name, rest, _ := strings.Cut(line, " ")
		known = append(known, name)
		if strings.HasPrefix(rest, "histogram") {
			known = append(known, name+"_bucket", name+"_sum", name+"_count")
		}
	}
	for _, file := range []string{
		filepath.Join(rulesDir, "dispatchd.rules.yml"), filepath.Join(rulesDir, "dispatchd.rules.test.yml"),
		dashboard, "../../docs/alerts.md", "../../docs/traces.md",
	} {
		names := metricName.FindAllString(read(t, file), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s names %s, which nothing exports", file, name)
			}
		}
	}
}

func TestEachAlertHasItsParagraph(t *testing.T) {
	t.Parallel()
	rules, document := read(t, filepath.Join(rulesDir, "dispatchd.rules.yml")), read(t, "../../docs/alerts.md")
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 5 {
		t.Errorf("%d alerts, want five or more", len(alerts))
	}
	for _, alert := range alerts {
		name := alert[1]
		if !strings.Contains(document, "\n## "+name+"\n\n**") {
			t.Errorf("docs/alerts.md has no paragraph about %s", name)
		}
		if !strings.Contains(rules, "runbook: docs/alerts.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s has no link to its paragraph", name)
		}
	}
	if headings := strings.Count(document, "\n## Dispatchd"); headings != len(alerts) {
		t.Errorf("docs/alerts.md explains %d alerts, %d are there", headings, len(alerts))
	}
}

// TestTheDashboardsQueriesAreQueries hands them to promtool as rules, with the
// dashboard's variables filled in.
func TestTheDashboardsQueriesAreQueries(t *testing.T) {
	t.Parallel()
	promtool := lookPromtool(t)
	rules := "groups:\n- name: dashboard\n  rules:\n"
	filled := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "'", "''")
	for i, expr := range regexp.MustCompile(`"expr": ("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(read(t, dashboard), -1) {
		text, err := strconv.Unquote(expr[1])
		if err != nil {
			t.Fatal(err)
		}
		rules += fmt.Sprintf("  - {record: 'r%d', expr: '%s'}\n", i, filled.Replace(text))
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheDashboardIsOne(t *testing.T) {
	t.Parallel()
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &board); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, panel := range board.Panels {
		if seen[panel.ID] || panel.Title == "" || len(panel.Targets) == 0 || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %d %q is a twin, empty or too wide", panel.ID, panel.Title)
		}
		seen[panel.ID] = true
		for _, target := range panel.Targets {
			if !strings.Contains(target.Expr, `{job=~"$job"`) || strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("panel %q: %s", panel.Title, target.Expr)
			}
		}
	}
	if board.Title != "dispatchd" || len(board.Panels) < 10 {
		t.Errorf("%q with %d panels", board.Title, len(board.Panels))
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
