package arch

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

// documents returns the Markdown files of the tree by their path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Skipf("the documents are found by git: %v", err)
	}
	found := map[string]string{}
	for name := range strings.FieldsSeq(string(out)) {
		if strings.Contains(name, "testdata/") {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(root, name)); err == nil {
			found[name] = string(text)
		}
	}
	if len(found) < 10 {
		t.Fatalf("%d documents found: the test looks at nothing", len(found))
	}
	return found
}

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	namedTest    = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
)

// TestDocumentsNameTestsThatExist: a promise whose test nobody runs would be
// worth nothing.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range testFunction.FindAllStringSubmatch(string(text), -1) {
			known[match[1]] = true
		}
		return err
	})
	if err != nil || len(known) < 100 {
		t.Fatalf("%d tests found: %v", len(known), err)
	}
	named := 0
	for name, text := range documents(t) {
		for _, match := range namedTest.FindAllStringSubmatch(text, -1) {
			if named++; !known[match[1]] {
				t.Errorf("%s names the test %s, which is nowhere", name, match[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("%d tests are named: the test looks at nothing", named)
	}
}

// TestTheSecurityPageHasEveryThreat: none is left out without a word.
func TestTheSecurityPageHasEveryThreat(t *testing.T) {
	t.Parallel()
	text := documents(t)["docs/security.md"]
	for _, threat := range strings.Fields("T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T17b T18 T19 T20 T21 T22 T23 T24 T25 T26 T27 T28 T29 T30 T31 T32 T33 T34 T35") {
		_, entry, there := strings.Cut(text, "**"+threat+". ")
		entry, _, _ = strings.Cut(entry, "\n\n")
		if !there || (!namedTest.MatchString(entry) && !strings.Contains(entry, "*Yours")) {
			t.Errorf("docs/security.md says of %s neither which test shows it nor that it is the operator's", threat)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	fence   = regexp.MustCompile("(?s)```.*?```")
)

// TestLinksOfDocumentsLeadSomewhere follows every link within the tree.
func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := documents(t)
	for name, text := range all {
		for _, match := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			path, fragment, _ := strings.Cut(match[1], "#")
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, match[1])
			} else if fragment != "" && !slices.Contains(anchorsOf(all[target]), fragment) {
				t.Errorf("%s links to %s: no heading or anchor of that name", name, match[1])
			}
		}
	}
}

// anchorsOf are the fragments that lead into a document, as GitHub makes them.
func anchorsOf(text string) []string {
	var list []string
	for _, match := range anchor.FindAllStringSubmatch(text, -1) {
		list = append(list, match[1])
	}
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, match[1]))
	}
	return list
}

var firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// TestTheMigrationNamesEveryParam holds the guide to the params of
// docs/events.md, which are held to the code.
func TestTheMigrationNamesEveryParam(t *testing.T) {
	t.Parallel()
	all := documents(t)
	_, list, _ := strings.Cut(all["docs/MIGRATION_CS_RUNNER.md"], "<!-- params:begin -->")
	list, _, _ = strings.Cut(list, "<!-- params:end -->")
	params := 0
	for _, table := range []string{"deploy", "repository", "destroy"} {
		_, rows, _ := strings.Cut(all["docs/events.md"], "<!-- "+table+":begin -->")
		rows, _, _ = strings.Cut(rows, "<!-- "+table+":end -->")
		for _, match := range firstCell.FindAllStringSubmatch(rows, -1) {
			if params++; !strings.Contains(list, "`"+match[1]+"`") {
				t.Errorf("the migration guide does not say what became of %s", match[1])
			}
		}
	}
	if params < 100 {
		t.Errorf("%d params found: the test looks at nothing", params)
	}
}

var metricName = regexp.MustCompile(`dispatchd_[a-z_]+`)

// TestDocumentsNameMetricsThatExist: whoever follows a guide must find what it
// says to watch. docs/metrics.md is held to the code.
func TestDocumentsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	all := documents(t)
	for _, name := range []string{"docs/MIGRATION_CS_RUNNER.md", "docs/operations.md", "docs/alerts.md", "docs/troubleshooting.md", "README.md"} {
		for _, metric := range metricName.FindAllString(all[name], -1) {
			if !strings.Contains(all["docs/metrics.md"], "`"+strings.TrimSuffix(metric, "_bucket")) {
				t.Errorf("%s names the metric %s, which is not in docs/metrics.md", name, metric)
			}
		}
	}
}

var (
	settingName = regexp.MustCompile(`\bDISPATCHD_[A-Z0-9_]+\b`)
	commandName = regexp.MustCompile("(?m)(?:`|^    (?:[A-Z_]+=\\S+ )*|bin/)dispatchd ([a-z][a-z-]+)\\b")
)

// notSettings are variables that begin like a setting and are none.
var notSettings = []string{
	"DISPATCHD_PACK_TOKEN_",  // begins the names that a pack's registryToken may have
	"DISPATCHD_E2E_RESTARTS", // a test's
}

// TestDocumentsNameSettingsAndCommandsThatExist: docs/configuration.md and
// docs/cli.md are made from the code.
func TestDocumentsNameSettingsAndCommandsThatExist(t *testing.T) {
	t.Parallel()
	all := documents(t)
	for name, text := range all {
		if strings.HasPrefix(name, "docs/decisions/") {
			continue // they say what was thought at their time
		}
		for _, setting := range settingName.FindAllString(text, -1) {
			if !slices.Contains(notSettings, setting) && !strings.Contains(all["docs/configuration.md"], "| `"+setting+"` |") {
				t.Errorf("%s names the setting %s, which docs/configuration.md does not have", name, setting)
			}
		}
		for _, match := range commandName.FindAllStringSubmatch(text, -1) {
			if command := match[1]; command != "dispatch" && !strings.Contains(all["docs/cli.md"], "### dispatchd "+command+"\n") {
				t.Errorf("%s names the command dispatchd %s, which docs/cli.md does not have", name, command)
			}
		}
	}
}
