package vault_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
)

// Whatever a server answers, a read ends in secrets with names that a build can
// have, or in a failure of the table that shows no token.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"data":{"data":{"A":"1","b-c":2,"N":null},"metadata":{"version":1,"created_time":"x"}}}`)
	f.Add(200, `{"data":{"A":"1","data":{"x":1}}}`)
	f.Add(200, `{"data":null,"errors":[]}`)
	f.Add(404, `{"data":{"data":null,"metadata":{"version":1,"created_time":"x"}}}`)
	f.Add(404, `{"warnings":["Invalid path for a versioned K/V secrets engine"]}`)
	f.Add(403, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied for hvs.the-token\\n\\n\"]}")
	f.Add(500, `{"errors":["invalid secret id"]}`)
	f.Add(429, ``)
	type canned struct {
		status int
		body   string
	}
	var next atomic.Pointer[canned]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			_, _ = w.Write([]byte(`{"auth":{"client_token":"hvs.the-token"}}`))
			return
		}
		answer := next.Load()
		w.WriteHeader(answer.status)
		_, _ = w.Write([]byte(answer.body))
	}))
	f.Cleanup(server.Close)
	c, err := vault.New(vault.Options{RetryWait: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status == 204 || status == 304 {
			return
		}
		next.Store(&canned{status, body})
		secrets, log, err := query(t, c, tasks.SecretQuery{
			Address: server.URL, RoleID: roleID, SecretID: secretID, Paths: []tasks.SecretPath{{Path: "kv/data/p/s", Prefix: "P_"}},
		})
		for name := range secrets {
			if !tasks.ValidSecretName(name) || !strings.HasPrefix(name, "P_") {
				t.Errorf("a secret is called %q", name)
			}
		}
		if err != nil && !strings.HasPrefix(string(tasks.AsFailure(err).Reason), "secrets_") {
			t.Errorf("error %v is none of ours", err)
		}
		if err != nil && strings.Contains(err.Error(), "hvs.the-token") || strings.Contains(log, "hvs.the-token") && !strings.Contains(body, "hvs.the-token") {
			t.Errorf("the token is shown: %v, %s", err, log)
		}
	})
}
