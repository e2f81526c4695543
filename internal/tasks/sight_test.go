package tasks_test

import (
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestFieldSightsKnowsEverySecretAndHiddenField(t *testing.T) {
	t.Parallel()
	sights := tasks.FieldSights()
	for name, want := range map[string]tasks.Sight{
		"gitPass": tasks.SightSecret, "nomadToken": tasks.SightSecret, "accessToken": tasks.SightSecret, "secretId": tasks.SightSecret,
		"registryToken": tasks.SightSecret, "registryPassword": tasks.SightSecret,
		"buildArgs": tasks.SightHidden, "content": tasks.SightHidden, "nomadAddress": tasks.SightHidden,
		"jobId": tasks.SightOpen, "secretsPath": tasks.SightOpen, "portNumber": tasks.SightOpen, "ownerId": tasks.SightOpen,
	} {
		if got, known := sights[name]; got != want || !known {
			t.Errorf("%s: sight %d (known %t), want %d", name, got, known, want)
		}
	}
}

func TestParamsObjectReadsAllThreeForms(t *testing.T) {
	t.Parallel()
	for _, params := range []string{`{"a":1}`, `"{\"a\":1}"`, `"eyJhIjoxfQ=="`} {
		if got, ok := tasks.ParamsObject([]byte(params)); !ok || string(got) != `{"a":1}` {
			t.Errorf("ParamsObject(%s) = %s, %t", params, got, ok)
		}
	}
	for _, params := range []string{`7`, `"%%"`, ``, `null`, `[]`} {
		if got, ok := tasks.ParamsObject([]byte(params)); ok {
			t.Errorf("ParamsObject(%s) = %s, want nothing", params, got)
		}
	}
}
