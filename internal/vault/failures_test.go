package vault_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
	"github.com/dispatchd/dispatchd/internal/vault/vaulttest"
)

func TestRefusalsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := tasks.SecretPath{Path: "s"}
	tests := map[string]struct {
		prepare func(*vaulttest.Server)
		role    func(*vaulttest.Role)
		paths   []tasks.SecretPath
		reason  tasks.Reason
		holds   []string
	}{
		"a denied path names the policy": {
			paths: []tasks.SecretPath{{Path: "kv/data/q/s"}}, reason: tasks.ReasonSecretsDenied,
			holds: []string{"read kv/data/q/s", `path "kv/data/q/s" { capabilities = ["read"] }`},
		},
		"an absent path is named": {paths: []tasks.SecretPath{s}, reason: tasks.ReasonSecretsNotFound, holds: []string{"kv/data/p/s", "nothing lies there"}},
		"a deleted version is named": {
			prepare: func(v *vaulttest.Server) { v.Delete("kv/p/s") },
			paths:   []tasks.SecretPath{s}, reason: tasks.ReasonSecretsNotFound, holds: []string{"kv/data/p/s", "deleted"},
		},
		"a mount that is not there is denied like anything else": {
			paths: []tasks.SecretPath{{Path: "nomount/data/x"}}, reason: tasks.ReasonSecretsDenied, holds: []string{"nomount/data/x"},
		},
		"a sealed Vault": {
			prepare: func(v *vaulttest.Server) { v.Seal(true) },
			paths:   []tasks.SecretPath{s}, reason: tasks.ReasonSecretsDown, holds: []string{"sealed", "log in by AppRole"},
		},
		"a Vault that limits us": {
			prepare: func(v *vaulttest.Server) { v.Limit(true) },
			paths:   []tasks.SecretPath{s}, reason: tasks.ReasonSecretsDown, holds: []string{"limits our requests"},
		},
		"a wrong secret id, which is a 500, is for good": {
			role:  func(r *vaulttest.Role) { r.SecretID = "another" },
			paths: []tasks.SecretPath{s}, reason: tasks.ReasonSecretsDenied, holds: []string{"secret id is wrong"},
		},
		"an unknown role": {
			role:  func(r *vaulttest.Role) { r.ID = "another" },
			paths: []tasks.SecretPath{s}, reason: tasks.ReasonSecretsDenied, holds: []string{"role id"},
		},
		"a token for fewer requests than there are paths": {
			prepare: func(v *vaulttest.Server) { v.Put("kv/p/s", map[string]any{"A": "1"}) },
			role:    func(r *vaulttest.Role) { r.TokenUses = 1 },
			paths:   []tasks.SecretPath{s, {Path: "t"}}, reason: tasks.ReasonSecretsDenied, holds: []string{"token_num_uses", "kv/data/p/t"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := standIn(t, test.role)
			if test.prepare != nil {
				test.prepare(server)
			}
			_, _, err := read(t, server, test.paths...)
			failed(t, err, test.reason, test.holds...)
		})
	}
}

func TestATokenForOneRequestIsEnoughForOnePath(t *testing.T) {
	t.Parallel()
	server := standIn(t, func(r *vaulttest.Role) { r.TokenUses, r.SecretUses = 1, 1 })
	server.Put("kv/p/s", map[string]any{"A": "1"})
	got, _, err := read(t, server, tasks.SecretPath{Path: "s"})
	if err != nil || got["A"] != "1" {
		t.Fatalf("read %v, %v", got, err)
	}
	if asked := strings.Join(server.Requests(), " "); strings.Contains(asked, "revoke") {
		t.Errorf("asked %s: a token without uses left needs no revoking", asked)
	}
}

// answering is a server that lets everybody in and answers reads with f.
func answering(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			f(w, r)
			return
		}
		_, _ = fmt.Fprint(w, `{"auth":{"client_token":"hvs.the-token"}}`)
	}))
	t.Cleanup(server.Close)
	return server
}

func readFrom(t *testing.T, c *vault.Client, address string) error {
	t.Helper()
	_, _, err := query(t, c, tasks.SecretQuery{
		Address: address, RoleID: roleID, SecretID: secretID, Paths: []tasks.SecretPath{{Path: "kv/data/p/s"}},
	})
	return err
}

func TestBadAnswersEndInANamedFailure(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a token went to another host: %v", r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	tests := map[string]struct {
		answer http.HandlerFunc
		reason tasks.Reason
		says   string
	}{
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }, tasks.ReasonSecretsBroken, "not one of Vault's"},
		"half of it": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, `{"data":`)
		}, tasks.ReasonSecretsDown, "no connection"},
		"no secret in it": {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"data":[1]}`) }, tasks.ReasonSecretsBroken, "no secret"},
		"far too much":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5<<20)) }, tasks.ReasonSecretsBroken, "larger than"},
		"a bad gateway":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, tasks.ReasonSecretsDown, "502"},
		"another host":    {http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP, tasks.ReasonSecretsBroken, "another host"},
		"a text of its own": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"errors":["your %s and %s"]}`, r.Header.Get("X-Vault-Token"), secretID)
		}, tasks.ReasonSecretsBroken, "your *** and ***"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := answering(t, test.answer)
			failed(t, readFrom(t, client(t, vault.Options{}), server.URL), test.reason, test.says)
		})
	}
}

func TestABusyVaultIsAskedAgainWithTheSameToken(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	server := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("X-Vault-Token")
		if len(asked) < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = fmt.Fprint(w, `{"data":{"A":"1"}}`)
	})
	if err := readFrom(t, client(t, vault.Options{}), server.URL); err != nil || len(asked) != 3 {
		t.Errorf("error %v after %d reads, want none after 3", err, len(asked))
	}
}

func TestAVaultThatHangsEndsInTime(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	began := time.Now()
	err := readFrom(t, client(t, vault.Options{Timeout: 50 * time.Millisecond}), server.URL)
	failed(t, err, tasks.ReasonSecretsDown, "no answer within 50ms")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestACancelledReadStillRevokes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	revoked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			cancel()
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "revoke-self"):
			revoked <- struct{}{}
		default:
			_, _ = fmt.Fprint(w, `{"auth":{"client_token":"hvs.the-token"}}`)
		}
	}))
	t.Cleanup(server.Close)
	q := tasks.SecretQuery{Address: server.URL, RoleID: roleID, Paths: []tasks.SecretPath{{Path: "kv/data/p/s"}}}
	if _, err := client(t, vault.Options{}).Read(ctx, q, &listener{}); err == nil {
		t.Error("a cancelled read gave secrets")
	}
	select {
	case <-revoked:
	default:
		t.Error("the token was not revoked")
	}
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	failed(t, readFrom(t, client(t, vault.Options{}), server.URL), tasks.ReasonSecretsDown, "no connection")
	_, _, err := query(t, client(t, vault.Options{}), tasks.SecretQuery{RoleID: roleID, Paths: []tasks.SecretPath{{Path: "kv/data/p/s"}}})
	failed(t, err, tasks.ReasonSecretsBroken, "VAULT_ADDR")
}

func TestOnlyATrustedCertificateWillDo(t *testing.T) {
	t.Parallel()
	server := vaulttest.NewTLS()
	t.Cleanup(server.Close)
	server.Add(vaulttest.Role{ID: roleID, SecretID: secretID, Policies: []string{"kv/*"}})
	server.Put("kv/p/s", map[string]any{"A": "1"})
	failed(t, readFrom(t, client(t, vault.Options{}), server.URL), tasks.ReasonSecretsBroken, "certificate")
	failed(t, readFrom(t, client(t, vault.Options{}), strings.Replace(server.URL, "https", "http", 1)), tasks.ReasonSecretsBroken)

	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readFrom(t, client(t, vault.Options{CACert: file}), server.URL); err != nil {
		t.Errorf("with its CA: %v", err)
	}
}

func TestFilesThatCannotBeUsedAreNamed(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]vault.Options{
		"VAULT_CACERT: open": {CACert: "/nowhere.pem"}, "holds no certificate": {CACert: empty}, "VAULT_CLIENT_CERT": {ClientCert: empty, ClientKey: empty},
	} {
		if _, err := vault.New(opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error = %v, want one that says %s", err, name)
		}
	}
}
