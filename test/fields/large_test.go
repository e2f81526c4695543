package fields_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestLargeTasks: what fits into a message is rendered, or refused in words.
// A parser that needs more than linear time for one of these never ends.
func TestLargeTasks(t *testing.T) {
	t.Parallel()
	variables := map[string]string{}
	for i := range 10_000 {
		variables[fmt.Sprintf("VARIABLE_%05d", i)] = fmt.Sprintf("value ${x} of \"%d\"", i)
	}
	for name, c := range map[string]struct {
		params map[string]any
		// want is a part of the refusal; empty is none.
		want string
	}{
		"10,000 static variables":  {map[string]any{"build": map[string]any{"builder": "nixpacks", "staticBuildEnv": variables}}, ""},
		"1,000 networks":           {map[string]any{"networks": many(1000, func(i int) any { return map[string]any{"portNumber": i + 1, "portType": "http"} })}, ""},
		"1,000 files":              {map[string]any{"configFiles": many(1000, func(i int) any { return file(fmt.Sprintf("etc/%d", i), "x") })}, ""},
		"a file of 700 KB":         {map[string]any{"configFiles": []any{file("etc/large", strings.Repeat("${\n", 700<<10/3))}}, ""},
		"a file that fits nowhere": {map[string]any{"configFiles": []any{file("etc/large", strings.Repeat("x", 1<<20))}}, "the task is too large"},
		"1,000 linked secrets":     {map[string]any{"vaultLinkedSecrets": many(1000, secret)}, ""},
		"10,000 linked secrets":    {map[string]any{"vaultLinkedSecrets": many(10_000, secret)}, "an argument of a program can have 131071"},
		"a command of signs":       {map[string]any{"command": strings.Repeat("${", 100_000)}, "an argument of a program can have 131071"},
		"a command of line breaks": {map[string]any{"command": strings.Repeat("\n", 100_000)}, "Nomad's client can read 4096"},
		"an owner of signs":        {map[string]any{"ownerId": strings.Repeat("%{", 50_000)}, "Nomad's client can read 4096"},
		"a node pool of signs":     {map[string]any{"node_pool": strings.Repeat("$%", 30_000)}, ""},
		"a service of signs":       {map[string]any{"consul": map[string]any{"serviceName": strings.Repeat("$$", 30_000)}}, "Nomad's client can read 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render(t.Context(), large(t, c.params))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("it is refused with %.200v, want %q in it", err, c.want)
			case err != nil && len(err.Error()) > 1000:
				t.Errorf("the refusal has %d bytes", len(err.Error()))
			}
		})
	}
}

func many(n int, make func(i int) any) []any {
	all := []any{}
	for i := range n {
		all = append(all, make(i))
	}
	return all
}

func secret(i int) any {
	return map[string]any{"secret": fmt.Sprintf("SECRET_%d", i), "template": "value"}
}

func file(path, content string) any {
	return map[string]any{"path": path, "content": base64.StdEncoding.EncodeToString([]byte(content))}
}

// large is a repository's task with more params.
func large(t *testing.T, more map[string]any) []byte {
	t.Helper()
	params := map[string]any{
		"jobId": "web", "deploymentId": "dep-1", "serviceId": "srv-1", "repository": "acme/web", "branch": "main",
		"build": map[string]any{"builder": "csdocker"},
	}
	for name, value := range more {
		params[name] = value
	}
	body, err := json.Marshal(map[string]any{"task": "deploy-repository", "params": params})
	if err != nil {
		t.Fatal(err)
	}
	return body
}
