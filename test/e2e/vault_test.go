//go:build e2e

package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/vault/vaulttest"
)

// vaultFor is a Vault with one role, which may read the secrets of prj-1.
func vaultFor(t *testing.T) *vaulttest.Server {
	t.Helper()
	server := vaulttest.New()
	t.Cleanup(server.Close)
	server.Add(vaulttest.Role{ID: "role-of-the-test", SecretID: "secret-id-of-the-test", Policies: []string{"kv/data/prj-1/*"}})
	return server
}

// secretBuild is a build with secrets of a Vault. It is not deployed: the bed's
// Nomad has no Vault of its own.
func secretBuild(t *testing.T, server *vaulttest.Server, name string) task {
	t.Helper()
	return repository(t, name, "acme/app").with(params{
		"deploy": "noop", "vaultAddress": server.URL, "roleId": "role-of-the-test", "secretId": "secret-id-of-the-test",
		"secretsPath": "app", "vaultLinkedSecrets": []params{{"secret": "DATABASE_URL", "template": "postgres://app:${DB_PASSWORD}@db"}},
	})
}

func TestABuildGetsTheSecretsOfVault(t *testing.T) {
	t.Parallel()
	const password, linked = "pa55 of the \"test\"", "postgres://app:pa55 of the \"test\"@db"
	server := vaultFor(t)
	server.Put("kv/prj-1/app", map[string]any{"DB_PASSWORD": password})
	source := newSource(t, running(t, "1", `--mount=type=secret,id=DB_PASSWORD,required=true `+
		`--mount=type=secret,id=DATABASE_URL,required=true sha256sum /run/secrets/*; cat /run/secrets/*`))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	worker := w.start()
	s := w.send(secretBuild(t, server, "secrets"))
	w.succeeded(s, patience)
	log := w.logText(s)
	for _, secret := range []string{password, linked} {
		wantAll(t, "the build log", log, fmt.Sprintf("%x", sha256.Sum256([]byte(secret))), "***")
	}
	if strings.Contains(log, "pa55") || strings.Contains(worker.err.String(), "pa55") {
		t.Errorf("a secret that the build printed is shown:\n%s", log)
	}
	if server.Tokens() != 0 {
		t.Error("the build's token was not revoked")
	}
}

func TestASecretThatIsDeniedEndsTheTaskAndNamesThePolicy(t *testing.T) {
	t.Parallel()
	server := vaultFor(t)
	source := newSource(t, running(t, "1", "true"))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	s := w.send(secretBuild(t, server, "denied").with(params{"secretsPath": "kv/data/prj-2/app"}))
	r := w.failed(s, patience, "secrets_denied", "secrets")
	wantAll(t, "the failure", r.Message, `path "kv/data/prj-2/app" { capabilities = ["read"] }`)
	s = w.send(secretBuild(t, server, "absent"))
	wantAll(t, "the failure", w.failed(s, patience, "secrets_not_found", "secrets").Message, "kv/data/prj-1/app")
}
