package tasks_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestSecretIsNeverFormatted(t *testing.T) {
	t.Parallel()
	const text = "hunter2"
	secret := tasks.Secret(text)
	inside := struct {
		Token tasks.Secret
		By    tasks.Credentials
		Named map[string]tasks.Secret
		List  []tasks.Secret
	}{secret, tasks.Credentials{Password: secret}, map[string]tasks.Secret{"a": secret}, []tasks.Secret{secret}}
	deploy := tasks.Deploy{GitPass: secret, Build: tasks.Build{RegistryPassword: secret}}
	deployTask := tasks.Task{Deploy: &deploy}
	destroyTask := tasks.Task{Destroy: &tasks.Destroy{Jobs: []tasks.DestroyJob{{NomadToken: secret}}}}
	values := []any{
		secret, &secret, inside, &inside, deploy, &deploy, deploy.Build, deployTask, &deployTask,
		destroyTask, *destroyTask.Destroy,
		tasks.Plan{Deploy: &deploy},
		[]tasks.Task{deployTask, destroyTask},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range values {
			got := fmt.Sprintf(verb, value)
			if strings.Contains(got, text) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", []byte(text))) {
				t.Errorf("Sprintf(%q, %T) shows it: %s", verb, value, got)
			}
		}
	}
	for _, value := range values {
		got, err := json.Marshal(value)
		if err != nil || strings.Contains(string(got), text) {
			t.Errorf("Marshal(%T) = %s, %v", value, got, err)
		}
	}
}

func TestSecretSaysWhetherItIsSet(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprintf("%v %q %#v", tasks.Secret("x"), tasks.Secret("x"), tasks.Secret("x")); got != `*** "***" tasks.Secret("***")` {
		t.Errorf("set: %s", got)
	}
	if got := fmt.Sprintf("[%v] %v", tasks.Secret(""), tasks.Secret("").Set()); got != "[] false" {
		t.Errorf("empty: %s", got)
	}
	if got := tasks.Secret("x").Reveal(); got != "x" {
		t.Errorf("Reveal() = %q", got)
	}
}

func TestTaskListsItsSecrets(t *testing.T) {
	t.Parallel()
	params := withField(repositoryParams, `"nomadToken":"s1","accessToken":"s2","secretId":"s3","gitPass":"s4","registry":{"registryToken":"s5"},"build":{"registryPassword":"s6"}`)
	if got := fmt.Sprint(mustDecode(t, bodyOf("deploy-repository", params)).Secrets()); got != "[s1 s2 s3 s4 s5 s6]" {
		t.Errorf("secrets of a deployment: %s", got)
	}
	task := mustDecode(t, bodyOf("destroy-job-pack", `{"jobs":[{"jobId":"a","nomadToken":"s7"},{"jobId":"b"}],"reason":"delete"}`))
	if got := fmt.Sprint(task.Secrets()); got != "[s7]" {
		t.Errorf("secrets of a destroy: %s", got)
	}
}
