package vault_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
	"github.com/dispatchd/dispatchd/internal/vault/vaulttest"
)

func flag(b tasks.Bool) *tasks.Bool { return &b }

func TestASecretIsFoundWhereTheRunningJobFindsIt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path  tasks.SecretPath
		want  string
		asked string
	}{
		"a name is the project's":                  {tasks.SecretPath{Path: "s"}, "two", "kv/data/p/s"},
		"a full path stays":                        {tasks.SecretPath{Path: "kv/data/p/s"}, "two", "kv/data/p/s"},
		"a leading slash is dropped":               {tasks.SecretPath{Path: "/kv/data/p/s"}, "two", "kv/data/p/s"},
		"data/ is added for version 2":             {tasks.SecretPath{Path: "kv/p/s", KV: flag(true)}, "two", "kv/data/p/s"},
		"a version is asked for":                   {tasks.SecretPath{Path: "kv/data/p/s?version=1"}, "two", "kv/data/p/s"},
		"version 1 is found where data/ is denied": {tasks.SecretPath{Path: "old/data/p/s"}, "one", "old/data/p/s old/p/s"},
		"a project's own engine":                   {tasks.SecretPath{Path: "s3", KV: flag(false)}, "own", "kv/p/s3 kv/data/p/s3 p/data/s3"},
		"a project's own engine, written out":      {tasks.SecretPath{Path: "p/data/s3?version=1", KV: flag(false)}, "own", "p/data/s3"},
		"a wrong word about the version is no end": {tasks.SecretPath{Path: "kv/p/s", KV: flag(false)}, "two", "kv/p/s kv/data/p/s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := standIn(t, nil)
			server.Mount("p", 2)
			server.Put("kv/p/s", map[string]any{"WHERE": "two"})
			server.Put("old/p/s", map[string]any{"WHERE": "one"})
			server.Put("p/s3", map[string]any{"WHERE": "own"})
			got, log, err := read(t, server, test.path)
			if err != nil || got["WHERE"] != test.want {
				t.Fatalf("read %v, %v (log %q), want %s", got, err, log, test.want)
			}
			want := "POST auth/approle/login GET " + strings.ReplaceAll(test.asked, " ", " GET ") + " POST auth/token/revoke-self"
			if asked := strings.Join(server.Requests(), " "); asked != want {
				t.Errorf("asked %s, want %s", asked, want)
			}
			if server.Tokens() != 0 {
				t.Error("the token is still alive")
			}
		})
	}
}

func TestValuesBecomeTexts(t *testing.T) {
	t.Parallel()
	server := standIn(t, nil)
	server.Put("kv/p/s", map[string]any{
		"TEXT": "s3cr3t \"q\" ${x}\nline2", "EMPTY": "", "N": 5, "B": true, "NIL": nil, "OBJ": map[string]any{"a": 1},
		"dotted.name": "d", "1ST": "never", "A-B": "never", "": "never", "x\ny": "never",
	})
	got, log, err := read(t, server, tasks.SecretPath{Path: "s"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"TEXT": "s3cr3t \"q\" ${x}\nline2", "EMPTY": "", "N": "5", "B": "true", "NIL": "null", "OBJ": `{"a":1}`, "dotted.name": "d",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	for _, name := range []string{`"1ST"`, `"A-B"`, `""`, `"x\ny"`, "read 7 from kv/data/p/s"} {
		if !strings.Contains(log, name) {
			t.Errorf("the log %q does not name %s", log, name)
		}
	}
	if strings.Contains(log, "never") || strings.Contains(log, "s3cr3t") {
		t.Errorf("the log shows a value: %q", log)
	}
}

func TestTheLaterPathHoldsAndPrefixesKeepNamesApart(t *testing.T) {
	t.Parallel()
	server := standIn(t, nil)
	server.Put("kv/p/own", map[string]any{"A": "own", "B": "own"})
	server.Put("kv/p/shared", map[string]any{"B": "shared"})
	server.Put("old/p/linked", map[string]any{"A": "linked"})
	got, _, err := read(t, server, tasks.SecretPath{Path: "own"}, tasks.SecretPath{Path: "shared"},
		tasks.SecretPath{Path: "old/data/p/linked", Prefix: "DB_", KV: flag(false)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"A": "own", "B": "shared", "DB_A": "linked"}, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestAPathThatTheTaskDidNotNameMayBeAbsent(t *testing.T) {
	t.Parallel()
	server := standIn(t, nil)
	server.Put("kv/p/shared", map[string]any{"A": "shared"})
	got, log, err := read(t, server, tasks.SecretPath{Path: "s", KV: flag(true), Optional: true}, tasks.SecretPath{Path: "shared"})
	if err != nil || got["A"] != "shared" || !strings.Contains(log, "kv/data/p/s") {
		t.Errorf("read %v, %v, log %q: want the shared one, and a line about the absent one", got, err, log)
	}
}

func TestWhatTheTaskSaysIsCheckedBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	tests := map[string]tasks.SecretQuery{
		"a path that climbs":         {Project: "p", Paths: []tasks.SecretPath{{Path: "../../sys/seal"}}},
		"a path with a query":        {Project: "p", Paths: []tasks.SecretPath{{Path: "kv/data/p/s?list=true"}}},
		"a path with a fragment":     {Project: "p", Paths: []tasks.SecretPath{{Path: "kv/data/p/s#x"}}},
		"a path with a line break":   {Project: "p", Paths: []tasks.SecretPath{{Path: "kv/data/p/s\nx"}}},
		"a project that climbs":      {Project: "..", Paths: []tasks.SecretPath{{Path: "s"}}},
		"no project":                 {Paths: []tasks.SecretPath{{Path: "s"}}},
		"a prefix that is no name":   {Project: "p", Paths: []tasks.SecretPath{{Path: "s", Prefix: "A-"}}},
		"an empty path":              {Project: "p", Paths: []tasks.SecretPath{{Path: ""}}},
		"a secret id without role":   {Project: "p", SecretID: "x", Paths: []tasks.SecretPath{{Path: "s"}}},
		"an address of another kind": {Project: "p", RoleID: "r", Address: "ftp://vault.example", Paths: []tasks.SecretPath{{Path: "s"}}},
	}
	for name, q := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := standIn(t, nil)
			if q.Address == "" {
				q.Address = server.URL
			}
			if q.RoleID == "" && !q.SecretID.Set() {
				q.RoleID, q.SecretID = roleID, secretID
			}
			_, _, err := query(t, client(t, vault.Options{}), q)
			failed(t, err, tasks.ReasonSecretsInvalid)
			if asked := server.Requests(); len(asked) > 0 {
				t.Errorf("asked %v", asked)
			}
		})
	}
}

func TestTheEnvironmentsTokenStaysAtItsAddress(t *testing.T) {
	t.Parallel()
	home, away := standIn(t, nil), standIn(t, nil)
	for _, server := range []*vaulttest.Server{home, away} {
		server.Put("kv/p/s", map[string]any{"A": "1"})
	}
	c := client(t, vault.Options{Address: home.URL, Token: vaulttest.RootToken})
	paths := []tasks.SecretPath{{Path: "kv/data/p/s"}}
	for _, address := range []string{"", home.URL, home.URL + "/"} {
		if got, _, err := query(t, c, tasks.SecretQuery{Address: address, Paths: paths}); err != nil || got["A"] != "1" {
			t.Errorf("at %q: %v, %v, want the secret", address, got, err)
		}
	}
	got, log, err := query(t, c, tasks.SecretQuery{Address: away.URL, Paths: paths})
	if err != nil || len(got) > 0 || !strings.Contains(log, "no role") || len(away.Requests()) > 0 {
		t.Errorf("elsewhere: %v, %v, log %q, asked %v: want nothing sent and a line that says so", got, err, log, away.Requests())
	}
	if _, _, err := query(t, c, tasks.SecretQuery{RoleID: "wrong", SecretID: "x", Paths: paths}); err == nil {
		t.Error("a task with a wrong role was let in by the environment's token")
	}
	for _, asked := range home.Requests() {
		if strings.Contains(asked, "revoke") {
			t.Error("the environment's token was revoked")
		}
	}
}
