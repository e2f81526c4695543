package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/vault/vaulttest"
)

// exchange is one request to a real Vault and its answer.
type exchange struct {
	Name    string
	Request struct {
		Method, Path string
		Body         json.RawMessage
		Token        *string
	}
	Response struct {
		Status int
		Body   json.RawMessage
	}
}

func recorded(t *testing.T) []exchange {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Exchanges []exchange }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Exchanges
}

// The stand-in is held to what a real Vault 1.14.0 answered, in the order in
// which it was asked.
func TestTheStandInAnswersAsTheRealOne(t *testing.T) {
	t.Parallel()
	server := vaulttest.New()
	t.Cleanup(server.Close)
	policies := []string{"kv/data/prj_1/*", "old/prj_1/*"}
	server.Add(vaulttest.Role{ID: "010190b2-1552-5d9e-4136-fd6b2e88752b", SecretID: "2a3987d9-6d03-2da6-a6f5-26921a0e5093", Policies: policies})
	server.Add(vaulttest.Role{
		ID: "5a0c1b11-332f-2146-83d5-8043a398098f", SecretID: "83da069f-a343-941f-f04e-e9d9c65598fd",
		Policies: policies, SecretUses: 1, TokenUses: 1,
	})
	server.Delete("kv/prj_1/gone")
	all := recorded(t)
	if len(all) != 36 {
		t.Fatalf("%d exchanges, want 36", len(all))
	}
	tokens := map[string]string{} // the recording's to ours
	for _, e := range all {
		server.Limit(e.Name == "rate limited")
		status, body := ask(t, server, e, tokens)
		if status != e.Response.Status {
			t.Errorf("%s: status %d, want %d", e.Name, status, e.Response.Status)
		}
		if diff := cmp.Diff(shape("", decoded(t, e.Response.Body)), shape("", decoded(t, body))); diff != "" {
			t.Errorf("%s (-real +stand-in):\n%s", e.Name, diff)
		}
		if theirs, ours := tokenIn(e.Response.Body), tokenIn(body); theirs != "" {
			tokens[theirs] = ours
		}
	}
}

func ask(t *testing.T, server *vaulttest.Server, e exchange, tokens map[string]string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), e.Request.Method, server.URL+e.Request.Path, bytes.NewReader(e.Request.Body))
	if err != nil {
		t.Fatal(err)
	}
	if token := e.Request.Token; token != nil {
		ours, known := tokens[*token]
		if !known {
			ours = *token
		}
		req.Header.Set("X-Vault-Token", ours)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body.Bytes()
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	if len(text) == 0 {
		return nil
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func tokenIn(text []byte) string {
	var body struct {
		Auth *struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	if json.Unmarshal(text, &body) != nil || body.Auth == nil {
		return ""
	}
	return body.Auth.Token
}

// own are the values that differ from server to server and run to run.
var own = strings.Fields(`request_id accessor client_token entity_id id uuid server_time_utc cluster_name cluster_id
	created_time deletion_time creation_time expire_time issue_time ttl lease_duration role_name`)

// shape lists every value of an answer with its place; of those that are a
// server's own, the type.
func shape(place string, value any) []string {
	switch v := value.(type) {
	case map[string]any:
		lines := []string{place + " object"}
		for key, item := range v {
			if slices.Contains(own, key) {
				item = fmt.Sprintf("a %T", item)
			}
			lines = append(lines, shape(place+"."+key, item)...)
		}
		slices.Sort(lines)
		return lines
	case []any:
		lines := []string{place + " list"}
		for i, item := range v {
			lines = append(lines, shape(fmt.Sprintf("%s[%d]", place, i), item)...)
		}
		return lines
	default:
		return []string{fmt.Sprintf("%s = %T %v", place, v, v)}
	}
}
