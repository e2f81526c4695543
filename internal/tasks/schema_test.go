package tasks_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

var updateSchema = flag.Bool("update", false, "write the goldens of testdata")

func TestSchemaIsTheGolden(t *testing.T) {
	t.Parallel()
	got := mustSchema(t)
	golden := filepath.Join("testdata", "schema.json")
	if *updateSchema {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run `go test ./internal/tasks -run Schema -update` if this is meant (-want +got):\n%s", diff)
	}
	if again := mustSchema(t); !bytes.Equal(got, again) {
		t.Error("Schema is not the same twice")
	}
}

// TestSchemaAgreesWithDecode checks bodies against the schema and the decoder:
// what Decode accepts the schema accepts, and what the schema can refuse it refuses.
func TestSchemaAgreesWithDecode(t *testing.T) {
	t.Parallel()
	schema := parsedSchema(t)
	repository := func(field string) string {
		return string(bodyOf("deploy-repository", withField(repositoryParams, field)))
	}
	image := func(field string) string { return string(bodyOf("deploy-image", withField(imageParams, field))) }
	accepted := []string{
		string(bodyOf("deploy-repository", repositoryParams)), string(bodyOf("redeploy-repository", repositoryParams)),
		string(bodyOf("deploy-image", imageParams)), string(bodyOf("destroy-job-pack", destroyParams)),
		string(bodyOf("deploy-image", `"eyJqb2JJZCI6InMiLCJkZXBsb3ltZW50SWQiOiJkIiwic2VydmljZUlkIjoicyIsImltYWdlTmFtZSI6Im4ifQ=="`)),
		repository(`"build":{"builder":"docker","buildArgs":{"A":"b"},"disablePush":"true"},"deploy":"nomadpack","gitPass":null`),
		repository(`"sourceType":"local_upload","sourceUrl":"https://x","repository":null`),
		repository(`"provider":"","sourceType":"","teamId":null,"unknown":{"a":[1]}`),
		image(`"userId":7,"ownerId":null,"cpu":"","ram":"512","gpu":null,"replicaCount":2,"usesKvEngine":"","update":null,"networks":null`),
		image(`"networks":[{"portNumber":"80","public":true,"health_check":null}],"entrypoint":[],"provider":"any","build":{"builder":"any"}`),
	}
	refused := []string{
		`{}`, `{"task":"deploy-moon","id":"a","params":{}}`, `{"task":"deploy-image","id":"a"}`, `{"task":"deploy-image","id":"a.b","params":` + imageParams + `}`,
		string(bodyOf("deploy-image", `{}`)), string(bodyOf("deploy-repository", `{}`)), string(bodyOf("destroy-job-pack", `{"jobs":[],"reason":"delete"}`)),
		string(bodyOf("destroy-job-pack", `{"jobs":[{}],"reason":"delete"}`)), string(bodyOf("destroy-job-pack", `{"jobs":[{"jobId":"a"}],"reason":"fun"}`)),
		string(bodyOf("deploy-repository", `{"jobId":"a","deploymentId":"d","serviceId":"s"}`)), string(bodyOf("deploy-image", `[]`)), string(bodyOf("deploy-image", `""`)),
		image(`"jobId":""`), image(`"cpu":-1`), image(`"cpu":"-1"`), image(`"cpu":1.5`), image(`"cpu":"x"`), image(`"cpu":true`), image(`"userId":true`), image(`"teamId":7`),
		image(`"usesKvEngine":"yes"`), image(`"entrypoint":"sh"`), image(`"entrypoint":[null]`), image(`"networks":[{"portNumber":65536}]`), image(`"restartMode":"always"`),
		repository(`"provider":"svn"`), repository(`"build":{"builder":"make"}`), repository(`"build":{"buildArgs":{"A":1}}`), repository(`"deploy":"helm"`), repository(`"gitPass":7`),
	}
	for _, body := range accepted {
		mustDecode(t, []byte(body))
		if problem := schema.check(t, body); problem != "" {
			t.Errorf("the schema refuses %s: %s", body, problem)
		}
	}
	for _, body := range refused {
		refusal(t, tasks.Message{Body: []byte(body)})
		if schema.check(t, body) == "" {
			t.Errorf("the schema accepts %s", body)
		}
	}
}

func TestSchemaHasNoUnusedDescription(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("schema_text.go")
	if err != nil {
		t.Fatal(err)
	}
	schema := string(mustSchema(t))
	rows := regexp.MustCompile(`"(\w+\.\w+)":\s+"(.*)",`).FindAllStringSubmatch(string(source), -1)
	if len(rows) < 20 {
		t.Fatalf("found %d descriptions", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(schema, `"description": "`+row[2]+`"`) {
			t.Errorf("%s describes no field", row[1])
		}
	}
}

func mustSchema(t *testing.T) []byte {
	t.Helper()
	schema, err := tasks.Schema()
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// checker is as much of a JSON Schema validator as our schema needs; a keyword
// that it does not know fails the test.
type checker struct{ root map[string]any }

func parsedSchema(t *testing.T) checker {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(mustSchema(t), &root); err != nil {
		t.Fatal(err)
	}
	return checker{root}
}

// check returns what is wrong with the body, empty where nothing is.
func (c checker) check(t *testing.T, body string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return c.value(c.root, value)
}

func (c checker) value(schema map[string]any, value any) string {
	keywords := make([]string, 0, len(schema))
	for keyword := range schema {
		keywords = append(keywords, keyword)
	}
	slices.Sort(keywords)
	for _, keyword := range keywords {
		if problem := c.keyword(keyword, schema[keyword], schema, value); problem != "" {
			return problem
		}
	}
	return ""
}

func (c checker) keyword(keyword string, want any, schema map[string]any, value any) string {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	broken := false
	switch keyword {
	case "$schema", "$defs", "title", "description", "default":
	case "$ref":
		name := strings.TrimPrefix(want.(string), "#/$defs/")
		return c.value(c.root["$defs"].(map[string]any)[name].(map[string]any), value)
	case "const":
		broken = value != want
	case "enum":
		broken = !slices.Contains(want.([]any), value)
	case "type":
		names, several := want.([]any)
		if !several {
			names = []any{want}
		}
		broken = !slices.ContainsFunc(names, func(name any) bool { return isOfType(name.(string), value) })
	case "pattern":
		broken = isText && !regexp.MustCompile(want.(string)).MatchString(text)
	case "minLength":
		broken = isText && len(text) < int(want.(float64))
	case "minimum":
		broken = isNumber && number < want.(float64)
	case "maximum":
		broken = isNumber && number > want.(float64)
	case "minItems":
		broken = isList && len(list) < int(want.(float64))
	case "items":
		for _, item := range list {
			if problem := c.value(want.(map[string]any), item); problem != "" {
				return problem
			}
		}
	case "properties":
		for name, property := range want.(map[string]any) {
			if below, ok := object[name]; ok {
				if problem := c.value(property.(map[string]any), below); problem != "" {
					return name + ": " + problem
				}
			}
		}
	case "additionalProperties":
		for name, below := range object {
			if problem := c.value(want.(map[string]any), below); problem != "" {
				return name + ": " + problem
			}
		}
	case "required":
		for _, name := range want.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return fmt.Sprintf("%s is missing", name)
			}
		}
	case "anyOf", "oneOf":
		matches := 0
		for _, choice := range want.([]any) {
			if c.value(choice.(map[string]any), value) == "" {
				matches++
			}
		}
		broken = matches == 0 || keyword == "oneOf" && matches > 1
	default:
		return "unknown keyword " + keyword
	}
	if broken {
		return fmt.Sprintf("%v breaks %s %v", value, keyword, want)
	}
	return ""
}

func isOfType(name string, value any) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	}
	return name == "object"
}
