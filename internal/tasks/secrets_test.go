package tasks_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// store gives the same secrets to everybody.
type store struct {
	secrets map[string]tasks.Secret
	err     error
	asked   []tasks.SecretQuery
}

func (s *store) Read(_ context.Context, q tasks.SecretQuery, _ tasks.Reporter) (map[string]tasks.Secret, error) {
	s.asked = append(s.asked, q)
	return s.secrets, s.err
}

func (p *parts) handleWith(t *testing.T, task tasks.Task, s *store, policy tasks.Policy) (*listener, *redact.Redactor, error) {
	t.Helper()
	l, redactor := &listener{}, redact.New()
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: p, Resolver: p, Renderer: p, Deployer: p, Secrets: s}, policy)
	_, err := h.Handle(t.Context(), task, tasks.Attempt{Dir: t.TempDir(), Redactor: redactor}, l)
	return l, redactor, err
}

func withSecrets(change func(*tasks.Deploy)) tasks.Task {
	return repositoryTask(func(d *tasks.Deploy) {
		d.ProjectID, d.VaultAddress = "p", "https://vault.example"
		d.RoleID, d.SecretID = "role", "secret"
		d.SecretsPath = "own"
		if change != nil {
			change(d)
		}
	})
}

func TestABuildGetsItsSecretsAndTheyAreHiddenBeforeItRuns(t *testing.T) {
	t.Parallel()
	s := &store{secrets: map[string]tasks.Secret{
		"PASS": "hunter22", "USER": "app", "FLAG": "true", "JSON": `{"key":["inner-value",7]}`,
	}}
	p := &parts{}
	l, redactor, err := p.handleWith(t, withSecrets(func(d *tasks.Deploy) {
		d.VaultLinkedSecrets = []tasks.LinkedSecret{
			{Secret: "URL", Template: "postgres://$USER:${PASS}@$HOST/db$"},
			{Secret: "TWICE", Template: `"${URL}?a $(id) $$ ${no-name} ` + "`id`" + `"`},
			{Secret: "not a name", Template: "x"},
		}
	}), s, tasks.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]tasks.Secret{
		"PASS": "hunter22", "USER": "app", "FLAG": "true", "JSON": `{"key":["inner-value",7]}`,
		"URL":   "postgres://app:hunter22@$HOST/db$",
		"TWICE": "postgres://app:hunter22@$HOST/db$?a $(id) $$ ${no-name} `id`",
	}
	if diff := cmp.Diff(want, p.build.Secrets, cmp.Comparer(func(a, b tasks.Secret) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Errorf("secrets of the build (-want +got):\n%s", diff)
	}
	if got := joined(l.stages); got != "clone configure secrets build render register watch" {
		t.Errorf("stages: %s", got)
	}
	shown := redactor.String("it said hunter22, inner-value, postgres://app:hunter22@$HOST/db$ and true")
	if shown != "it said ***, ***, *** and true" {
		t.Errorf("the redactor shows %q", shown)
	}
	for _, text := range []string{"names HOST", `"not a name"`} {
		if !strings.Contains(l.log.String(), text) {
			t.Errorf("the log %q does not say %q", l.log.String(), text)
		}
	}
	if strings.Contains(l.log.String(), "hunter22") {
		t.Errorf("the log shows a value: %q", l.log.String())
	}
}

func TestWhatABuildAsksVaultFor(t *testing.T) {
	t.Parallel()
	yes, no := tasks.Bool(true), tasks.Bool(false)
	tests := map[string]struct {
		change func(*tasks.Deploy)
		policy tasks.Policy
		want   []tasks.SecretPath
	}{
		"the path that the task names": {nil, tasks.Policy{}, []tasks.SecretPath{{Path: "own"}}},
		"everything that the running job gets, in its order": {func(d *tasks.Deploy) {
			d.UsesKVEngine, d.OwnerUsesKVEngine, d.SharedSecretPath = &yes, &no, "shared"
			d.VaultLinkedSecretPaths = []tasks.LinkedSecretPath{{Prefix: "DB_", SecretPath: "db"}}
		}, tasks.Policy{}, []tasks.SecretPath{{Path: "own", KV: &yes}, {Path: "shared", KV: &no}, {Path: "db", Prefix: "DB_", KV: &yes}}},
		"the service's own where it has an engine": {
			func(d *tasks.Deploy) { d.SecretsPath, d.UsesKVEngine = "", &yes },
			tasks.Policy{},
			[]tasks.SecretPath{{Path: "s", KV: &yes, Optional: true}},
		},
		"nothing where it has none":        {func(d *tasks.Deploy) { d.SecretsPath, d.UsesKVEngine = "", &no }, tasks.Policy{}, nil},
		"nothing without a role":           {func(d *tasks.Deploy) { d.RoleID, d.SecretID = "", "" }, tasks.Policy{}, nil},
		"but with the environment's token": {func(d *tasks.Deploy) { d.RoleID, d.SecretID = "", "" }, tasks.Policy{SecretsByToken: true}, []tasks.SecretPath{{Path: "own"}}},
		"nothing where nothing is built":   {func(d *tasks.Deploy) { d.Build.Builder = tasks.BuilderNoop }, tasks.Policy{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &store{}
			if _, _, err := (&parts{}).handleWith(t, withSecrets(test.change), s, test.policy); err != nil {
				t.Fatal(err)
			}
			var got []tasks.SecretPath
			for _, q := range s.asked {
				if q.Project != "p" || q.Address != "https://vault.example" {
					t.Errorf("asked %+v", q)
				}
				got = append(got, q.Paths...)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutItsSecretsABuildDoesNotRun(t *testing.T) {
	t.Parallel()
	p := &parts{}
	_, _, err := p.handleWith(t, withSecrets(nil), &store{err: tasks.Fail(tasks.ReasonSecretsDenied, "", nil)}, tasks.Policy{})
	if got := tasks.AsFailure(err); got.Reason != tasks.ReasonSecretsDenied || slices.Contains(p.asked, "build") {
		t.Errorf("failure %v after %q", got, p.asked)
	}
	_, _, err = p.handle(t, withSecrets(nil), tasks.Policy{}, true)
	if got := tasks.AsFailure(err).Reason; got != tasks.ReasonUnsupported {
		t.Errorf("without a store: %s, want unsupported", got)
	}
}

func FuzzVaultPath(f *testing.F) {
	for _, seed := range []string{"s", "/kv/data/p/s", "kv/p/s", "p/data/s?version=1", "../x", "", "a//b", "s?version=x", "é"} {
		f.Add("p", seed)
	}
	f.Fuzz(func(t *testing.T, project, path string) {
		full := tasks.VaultPath(project, path)
		if !tasks.ValidVaultPath(full) {
			return
		}
		for segment := range strings.SplitSeq(full, "/") {
			if segment == "" || strings.HasPrefix(segment, ".") || strings.ContainsAny(segment, " %#\\\"'{}$\n") {
				t.Errorf("VaultPath(%q, %q) = %q, which may be asked", project, path, full)
			}
		}
	})
}
