package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/doctor"
	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// expect requires a line that begins with the status and holds the parts, in order.
func expect(t *testing.T, results []doctor.Result, status doctor.Status, parts ...string) {
	t.Helper()
	var all strings.Builder
	for _, r := range results {
		line := r.String()
		all.WriteString(line + "\n")
		rest, found := line, r.Status == status
		for _, part := range parts {
			_, after, ok := strings.Cut(rest, part)
			rest, found = after, found && ok
		}
		if found {
			return
		}
	}
	t.Errorf("no line %q with %q in\n%s", status, parts, all.String())
}

// healthy requires that nothing is wrong.
func healthy(t *testing.T, results []doctor.Result) {
	t.Helper()
	for _, r := range results {
		if r.Status != doctor.OK || r.Fix != "" {
			t.Errorf("%s", r)
		}
	}
	if len(results) == 0 {
		t.Error("no results")
	}
}

func TestChecksRunAtOnceAndAnswerInTheirOrder(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Add(2)
	meet := func(name string) doctor.Check {
		return doctor.Check{Name: name, Run: func(context.Context) []doctor.Result {
			both.Done()
			both.Wait()
			return []doctor.Result{{Status: doctor.OK, Tried: "meet with hunter2 at http://u:p@h/x?token=1", Found: "two\nlines\x1b[2J"}}
		}}
	}
	hangs := doctor.Check{Name: "c", Run: func(ctx context.Context) []doctor.Result {
		<-ctx.Done()
		return []doctor.Result{{Status: doctor.Fail, Tried: "wait", Found: context.Cause(ctx).Error()}}
	}}
	var waits []string
	results := doctor.Run(t.Context(), []doctor.Check{meet("a"), meet("b"), hangs}, doctor.Options{
		Limit:    300 * time.Millisecond,
		Hide:     func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") },
		Progress: func(waiting []string) { waits = append(waits, strings.Join(waiting, ",")) },
	})
	var lines []string
	for _, r := range results {
		lines = append(lines, r.String())
	}
	want := "ok    a         meet with *** at http://h/x: two lines\nok    b         meet with *** at http://h/x: two lines\nfail  c         wait: no answer within 300ms"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(waits) != 3 || waits[1] != "c" || waits[2] != "" || !doctor.Failed(results) || doctor.Failed(results[:2]) {
		t.Errorf("waited for %q", waits)
	}
}

func TestSettingsAreToldOneByOne(t *testing.T) {
	t.Parallel()
	results := doctor.Settings{
		Err: errors.Join(errors.New(`DISPATCHD_SLOTS is "x": want a whole number`), errors.New("NOMAD_ADDR is no URL")), Warnings: []string{"DISPATCHD_SLOT is not a setting"},
	}.Check(t.Context())
	expect(t, results, doctor.Fail, `DISPATCHD_SLOTS is "x"`, "DISPATCHD_SLOTS: correct it")
	expect(t, results, doctor.Fail, "NOMAD_ADDR is no URL", "NOMAD_ADDR: ")
	expect(t, results, doctor.Warn, "DISPATCHD_SLOT is not")
	healthy(t, doctor.Settings{Set: 3}.Check(t.Context()))
}

// program is a stand-in that says one thing and exits with a code.
func program(t *testing.T, says string, code int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	text := fmt.Sprintf("#!/bin/sh\necho '%s'\nexit %d\n", says, code)
	// Written under another name and moved: a file that is still open for writing
	// anywhere cannot be run.
	if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGitIsJudgedByTheFloorOfItsLine(t *testing.T) { //nolint:paralleltest // a fork beside another test's open file would hold it open
	for version, want := range map[string]doctor.Status{
		"2.39.5": doctor.Warn, "2.43.6": doctor.Warn, "2.43.7": doctor.OK, "2.45.3": doctor.Warn, "2.45.4": doctor.OK, "2.49.0": doctor.Warn,
		"2.49.1": doctor.OK, "2.50.0": doctor.Warn, "2.50.1": doctor.OK, "2.51": doctor.OK, "3.0.0": doctor.OK, "2.42.9": doctor.Warn, "mystery": doctor.Warn,
	} {
		results := doctor.Programs{Git: program(t, "git version "+version, 0), SSH: "no-such-ssh", Nixpacks: program(t, "nixpacks 1.34.1", 0), Railpack: program(t, "boom", 3)}.Check(t.Context())
		if results[0].Status != want {
			t.Errorf("git %s: %s, want %s", version, results[0], want)
		}
		expect(t, results, doctor.Warn, "no-such-ssh -V", "PATH: install an OpenSSH client")
		expect(t, results, doctor.OK, "--version: nixpacks 1.34.1")
		expect(t, results, doctor.Warn, "exit status 3 boom", "PATH: ")
		expect(t, results, doctor.OK, "runc")
	}
	results := doctor.Programs{Git: "no-such-git", Nixpacks: "no-such-nixpacks"}.Check(t.Context())
	expect(t, results, doctor.Fail, "no-such-git", "PATH: install git")
	expect(t, results, doctor.OK, "no-such-nixpacks", "not installed")
}

func TestTheWorkDirectoryMustTakeAFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	healthy(t, doctor.WorkDir{Path: dir, TaskBytes: 1, Slots: 1}.Check(t.Context()))
	if _, err := os.Stat(dir); err == nil {
		t.Error("the check left its directory behind")
	}
	expect(t, doctor.WorkDir{Path: dir, TaskBytes: 1 << 60, Slots: 4}.Check(t.Context()), doctor.Warn, "less than the 4194304.0 TiB", "DISPATCHD_WORK_DIR: ")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, doctor.WorkDir{Path: file}.Check(t.Context()), doctor.Fail, "not a directory", "DISPATCHD_WORK_DIR: name a directory")
}

// cluster is a Nomad that answers what it is told to.
type cluster struct {
	agent    nomad.Agent
	token    nomad.Token
	nodes    []nomad.Node
	rights   map[string]error
	agentErr error
	tokenErr error
	nodesErr error
}

func (c cluster) Address() string                             { return "http://nomad:4646" }
func (c cluster) Namespace() string                           { return "apps" }
func (c cluster) Agent(context.Context) (nomad.Agent, error)  { return c.agent, c.agentErr }
func (c cluster) Token(context.Context) (nomad.Token, error)  { return c.token, c.tokenErr }
func (c cluster) Nodes(context.Context) ([]nomad.Node, error) { return c.nodes, c.nodesErr }
func (c cluster) Rights(context.Context) (rights []nomad.Right) {
	for _, capability := range []string{"list-jobs", "read-job", "parse-job", "submit-job"} {
		rights = append(rights, nomad.Right{Capability: capability, Err: c.rights[capability]})
	}
	return rights
}

// goodCluster has nothing to complain about; change breaks it.
func goodCluster(change func(*cluster)) doctor.Nomad {
	c := cluster{
		agent: nomad.Agent{Version: "2.0.4", Client: true, MaxKillTimeout: time.Minute},
		token: nomad.Token{Name: "worker", Type: "client", Policies: []string{"dispatchd"}},
		nodes: []nomad.Node{{Name: "n1", Version: "2.0.4", Platform: "linux/amd64"}},
	}
	if change != nil {
		change(&c)
	}
	return doctor.Nomad{Cluster: c, Drain: 29 * time.Second}
}

func TestNomadIsJudged(t *testing.T) {
	t.Parallel()
	healthy(t, goodCluster(nil).Check(t.Context()))
	auth := tasks.Fail(tasks.ReasonNomadAuth, "Nomad refused the token", nil)
	down := tasks.Fail(tasks.ReasonNomadDown, "it cannot be reached", nil)
	tests := []struct {
		name   string
		change func(*cluster)
		status doctor.Status
		parts  []string
	}{
		{"away", func(c *cluster) { c.agentErr = down }, doctor.Fail, []string{"reach Nomad at http://nomad:4646", "cannot be reached", "NOMAD_ADDR: "}},
		{"old", func(c *cluster) { c.agent.Version = "1.6.1" }, doctor.Warn, []string{"1.6.1 is below", "2.0.4, 1.11.8, 1.10.14", "no workload identities", "upgrade"}},
		{"old in its line", func(c *cluster) { c.agent.Version = "1.10.13" }, doctor.Warn, []string{"1.10.13 is below"}},
		{"old, by its nodes", func(c *cluster) { c.agentErr, c.agent, c.nodes[0].Version = auth, nomad.Agent{}, "1.9.0" }, doctor.Warn, []string{"1.9.0 is below"}},
		{"no agent:read", func(c *cluster) { c.agentErr, c.agent = auth, nomad.Agent{} }, doctor.OK, []string{"the token lacks agent:read", "30s is enough"}},
		{"unknown token", func(c *cluster) { c.tokenErr = auth }, doctor.Fail, []string{"who the token is", "NOMAD_TOKEN: "}},
		{"no access control", func(c *cluster) { c.token = nomad.Token{Off: true} }, doctor.Warn, []string{"no access control"}},
		{"a token for everything", func(c *cluster) { c.token.Type = "management" }, doctor.Warn, []string{"management", "NOMAD_TOKEN: "}},
		{"a token at its end", func(c *cluster) { c.token.Expires = time.Now().Add(time.Hour) }, doctor.Warn, []string{"expires", "renew"}},
		{"may not submit", func(c *cluster) { c.rights = map[string]error{"submit-job": auth} }, doctor.Fail, []string{"lacks submit-job", "NOMAD_TOKEN: ", "namespace apps"}},
		{"no such namespace", func(c *cluster) {
			c.rights = map[string]error{"submit-job": tasks.Fail(tasks.ReasonJobRejected, "nonexistent namespace", nil)}
		}, doctor.Fail, []string{"nonexistent", "NOMAD_NAMESPACE: "}},
		{"no nodes", func(c *cluster) { c.nodes = nil }, doctor.Fail, []string{"none is ready"}},
		{"may not read nodes", func(c *cluster) { c.nodesErr = auth }, doctor.Warn, []string{"node { policy"}},
		{"one node without Docker", func(c *cluster) { c.nodes = append(c.nodes, nomad.Node{Name: "n2", Docker: "not found on the node"}) }, doctor.Warn, []string{"not well on 1: n2 not found"}},
		{"no node with Docker", func(c *cluster) { c.nodes[0].Docker = "not healthy" }, doctor.Fail, []string{"n1 not healthy"}},
		{"the client kills too soon", func(c *cluster) { c.agent.MaxKillTimeout = 20 * time.Second }, doctor.Warn, []string{"kills after 20s", "DISPATCHD_DRAIN_TIMEOUT: ", `max_kill_timeout = "29s"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			expect(t, goodCluster(test.change).Check(t.Context()), test.status, test.parts...)
		})
	}
	long := goodCluster(func(c *cluster) { c.agent.Client, c.agent.MaxKillTimeout = false, 0 })
	long.Drain = 5 * time.Minute
	expect(t, long.Check(t.Context()), doctor.Warn, "cannot be read (the agent runs no jobs", "default is 30s", "DISPATCHD_DRAIN_TIMEOUT")
}

// daemon is a buildkitd that answers what it is told to.
type daemon struct {
	says buildkit.Daemon
	err  error
}

func (d daemon) Address() string                                   { return "tcp://buildkit:1234" }
func (d daemon) Diagnose(context.Context) (buildkit.Daemon, error) { return d.says, d.err }

func TestBuildKitIsJudged(t *testing.T) {
	t.Parallel()
	capped := []buildkit.Worker{{Platforms: []string{"linux/amd64"}, Capped: true}}
	check := func(d daemon) []doctor.Result { return doctor.BuildKit{Daemon: d}.Check(t.Context()) }
	healthy(t, check(daemon{says: buildkit.Daemon{Version: "v0.31.2", Workers: capped, CacheBytes: 3 << 30}}))
	expect(t, check(daemon{err: errors.New("cannot be reached")}), doctor.Fail, "tcp://buildkit:1234", "BUILDKIT_HOST: start buildkitd")
	expect(t, check(daemon{says: buildkit.Daemon{Version: "v0.31.1", Workers: capped}}), doctor.Warn, "0.31.1 is below 0.31.2")
	expect(t, check(daemon{says: buildkit.Daemon{Version: "dev", Workers: capped}}), doctor.Warn, `"dev" cannot be compared`)
	expect(t, check(daemon{says: buildkit.Daemon{Version: "v0.34.2"}}), doctor.Fail, "it has no worker")
	expect(t, check(daemon{says: buildkit.Daemon{Version: "v0.34.2", Workers: []buildkit.Worker{{Platforms: []string{"linux/arm64"}}}, CacheBytes: 1 << 30}}),
		doctor.Warn, "builds for linux/arm64; its cache takes 1.0 GiB and has no cap", "gcpolicy in buildkitd.toml: ", "maxUsedSpace")
}

// pusher is a registry that answers what it is told to.
type pusher struct {
	ping, push error
	asked      *string
}

func (p pusher) Ping(context.Context, string) error { return p.ping }
func (p pusher) TryPush(_ context.Context, host, repository string, _ tasks.Credentials) error {
	*p.asked = host + "/" + repository
	return p.push
}

func TestTheRegistryIsJudged(t *testing.T) {
	t.Parallel()
	auth := tasks.Fail(tasks.ReasonRegistryAuth, "push to r/apps: refused", nil)
	known := tasks.Credentials{Username: "u", Password: "p"}
	var asked string
	check := func(p pusher, creds tasks.Credentials) []doctor.Result {
		p.asked = &asked
		return doctor.Registry{Registry: p, Host: "r:5000", Namespace: "apps", Push: true, Credentials: creds}.Check(t.Context())
	}
	healthy(t, check(pusher{}, known))
	if asked != "r:5000/apps/dispatchd-doctor" {
		t.Errorf("the scratch name is %s", asked)
	}
	expect(t, check(pusher{ping: errors.New("cannot be reached")}, known), doctor.Fail, "reach the registry r:5000", "DISPATCHD_REGISTRY: ")
	expect(t, check(pusher{push: auth}, known), doctor.Fail, "refused", "REGISTRY_PASSWORD: ")
	expect(t, check(pusher{push: auth}, tasks.Credentials{}), doctor.Warn, "refused", "REGISTRY_USERNAME: ")
	expect(t, check(pusher{push: errors.New("status 500")}, known), doctor.Fail, "status 500", "DISPATCHD_REGISTRY: ")
}

func TestVaultAndTheBackendAreAsked(t *testing.T) {
	t.Parallel()
	health := `{"initialized":true,"sealed":false,"version":"1.14.0"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/sys/health" && r.Header.Get("X-Vault-Token") == "":
			_, _ = w.Write([]byte(health))
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.Redirect(w, r, "/broken", http.StatusFound)
		}
	}))
	defer server.Close()
	web := doctor.NewHTTP()
	askVault := func(address string) []doctor.Result {
		client, err := vault.New(vault.Options{Address: address, Token: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		return doctor.Vault(t.Context(), address, client)
	}
	healthy(t, askVault(server.URL+"/"))
	for text, want := range map[string]string{
		`{"initialized":true,"sealed":true}`: "it is sealed", `{"initialized":false}`: "not initialized", `<html>`: "no answer of Vault's",
	} {
		health = text
		expect(t, askVault(server.URL), doctor.Fail, want, "VAULT_ADDR: ")
	}
	healthy(t, web.Backend(t.Context(), server.URL))
	expect(t, web.Backend(t.Context(), server.URL+"/broken"), doctor.Warn, "status 502", "BACKEND_URL: ")
	for _, results := range [][]doctor.Result{askVault("http://127.0.0.1:1"), web.Backend(t.Context(), "http://127.0.0.1:1/?accessToken=hunter2")} {
		if line := results[0].Found; strings.Contains(line, "hunter2") || !strings.Contains(line, "refused") {
			t.Errorf("%s", line)
		}
	}
	expect(t, doctor.Traces(errors.New("no")), doctor.Warn, "OTEL_EXPORTER_OTLP_ENDPOINT: ")
	healthy(t, doctor.Traces(nil))
}
