package tasks_test

import (
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestAResumedDeploymentHidesItsSecretsAgain(t *testing.T) {
	t.Parallel()
	const secret = "the-secret-of-the-app"
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"they can be read":     {nil, "***"},
		"a login that is over": {tasks.Fail(tasks.ReasonSecretsDenied, "log in by AppRole: used up", nil), secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, l, redactor := &parts{}, &listener{}, redact.New()
			s := &store{secrets: map[string]tasks.Secret{"A": secret}, err: c.err}
			h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p, Secrets: s}, tasks.Policy{})
			from := tasks.Checkpoint{Builder: tasks.BuilderDocker, Image: &tasks.Image{Name: "app", Tag: "latest", Digest: "sha256:" + strings.Repeat("a", 64)}}
			if _, err := h.Handle(t.Context(), withSecrets(nil), tasks.Attempt{Dir: t.TempDir(), Redactor: redactor, From: from}, l); err != nil {
				t.Fatal(err)
			}
			if got := redactor.String(secret); got != c.want {
				t.Errorf("the app's line is shown as %q, want %q", got, c.want)
			}
		})
	}
}

func TestSecretsThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	s := &store{secrets: map[string]tasks.Secret{"A": tasks.Secret(strings.Repeat("line of it\n", 100_000))}}
	_, _, err := (&parts{}).handleWith(t, withSecrets(nil), s, tasks.Policy{})
	if failure := tasks.AsFailure(err); failure == nil || failure.Reason != tasks.ReasonSecretsInvalid {
		t.Errorf("error = %v, want %s", err, tasks.ReasonSecretsInvalid)
	}
}
