package tasks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// TestParamsTablesAreComplete holds docs/events.md to the schema: each table
// has every field in its order, with its type. What a field means is prose.
func TestParamsTablesAreComplete(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	image, repository := schema.params("image-params"), schema.params("repository-params")
	for _, c := range []struct {
		table string
		want  []param
	}{
		{"deploy", image},
		{"repository", without(repository, image)},
		{"destroy", schema.params("destroy-params")},
	} {
		t.Run(c.table, func(t *testing.T) {
			t.Parallel()
			if len(c.want) == 0 {
				t.Fatal("the schema has no fields: the test looks at nothing")
			}
			if diff := cmp.Diff(c.want, tableIn(t, "events.md", c.table)); diff != "" {
				t.Errorf("the table %s of docs/events.md (-schema +docs):\n%s", c.table, diff)
			}
		})
	}
}

// TestEveryReasonIsExplained holds docs/troubleshooting.md to the failure table.
func TestEveryReasonIsExplained(t *testing.T) {
	t.Parallel()
	var want []param
	for _, row := range tasks.Failures() {
		want = append(want, param{Name: string(row.Reason), Type: fmt.Sprintf("%s, %s", row.Fault, row.Class)})
	}
	got := tableIn(t, "troubleshooting.md", "reasons")
	byName := func(a, b param) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(want, byName)
	slices.SortFunc(got, byName)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/troubleshooting.md (-table +docs):\n%s", diff)
	}
}

// param is the first two cells of a row in a document.
type param struct{ Name, Type string }

// tableIn returns the rows between the markers of a table.
func tableIn(t *testing.T, document, table string) []param {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(text), "<!-- "+table+":begin -->")
	rest, _, ended := strings.Cut(rest, "<!-- "+table+":end -->")
	if !begun || !ended {
		t.Fatalf("docs/%s has no table between the markers of %s", document, table)
	}
	var rows []param
	for line := range strings.Lines(rest) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		rows = append(rows, param{strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2])})
	}
	return rows
}

// property is what the test reads of a JSON Schema.
type property struct {
	Type       any             `json:"type"`
	Enum       []any           `json:"enum"`
	Default    any             `json:"default"`
	Items      *property       `json:"items"`
	Properties json.RawMessage `json:"properties"`
	Additional *property       `json:"additionalProperties"`
	Required   []string        `json:"required"`
	AnyOf      []property      `json:"anyOf"`
}

type document struct {
	Defs map[string]property `json:"$defs"`
}

func readSchema(t *testing.T) document {
	t.Helper()
	text, err := tasks.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d document) params(name string) []param { return d.Defs[name].fields("") }

// fields lists an object's fields and those below them.
func (p property) fields(above string) []param {
	var all []param
	for _, name := range keys(p.Properties) {
		var under map[string]property
		_ = json.Unmarshal(p.Properties, &under)
		field := under[name]
		text := field.String()
		if slices.Contains(p.Required, name) {
			text += ", required"
		}
		all = append(all, param{above + name, text})
		all = append(all, field.fields(above+name+".")...)
		if field.Items != nil {
			all = append(all, field.Items.fields(above+name+"[].")...)
		}
	}
	return all
}

// String names the type, the values and the default.
func (p property) String() string {
	text := p.typeName()
	var values []string
	for _, value := range p.Enum {
		if s, ok := value.(string); ok && s != "" {
			values = append(values, s)
		}
	}
	if len(values) > 0 {
		text = strings.Join(values, " or ")
	}
	if p.Default != nil {
		text += fmt.Sprintf(", default %v", p.Default)
	}
	return text
}

func (p property) typeName() string {
	switch {
	case p.Items != nil:
		return "list of " + p.Items.typeName()
	case p.Additional != nil:
		return "object of strings"
	case p.Properties != nil:
		return "object"
	case len(p.AnyOf) > 0 && p.AnyOf[0].Type == "integer":
		return "integer"
	case len(p.AnyOf) > 0 && p.AnyOf[0].Type == "boolean":
		return "bool"
	case len(p.AnyOf) > 0:
		return "string or number"
	}
	return "string"
}

// keys returns an object's keys in their order.
func keys(object json.RawMessage) []string {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		return nil
	}
	var names []string
	for decoder.More() {
		name, _ := decoder.Token()
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return names
		}
		names = append(names, name.(string))
	}
	return names
}

// without returns the fields that the other list does not have.
func without(all, others []param) []param {
	return slices.DeleteFunc(slices.Clone(all), func(p param) bool {
		return slices.ContainsFunc(others, func(other param) bool { return other.Name == p.Name })
	})
}
