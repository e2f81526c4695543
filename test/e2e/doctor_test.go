//go:build e2e

package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/doctor"
)

// examine runs `dispatchd doctor` and returns its results and its exit code.
func (w *world) examine(env ...string) ([]doctor.Result, int) {
	w.t.Helper()
	p := startProcess(w.t, withEnv(w.env, env...), "doctor", "-o", "json")
	code := p.exit(12 * time.Second)
	var results []doctor.Result
	if err := json.Unmarshal([]byte(p.out.String()), &results); err != nil {
		w.t.Fatalf("doctor says no JSON: %v\n%s%s", err, p.out.String(), p.err.String())
	}
	return results, code
}

// finds requires a line with a status and all the parts.
func finds(t *testing.T, results []doctor.Result, status doctor.Status, parts ...string) {
	t.Helper()
	var all []string
	for _, r := range results {
		line, found := r.String(), r.Status == status
		for _, part := range parts {
			found = found && strings.Contains(line, part)
		}
		if found {
			return
		}
		all = append(all, line)
	}
	t.Errorf("no line %q with %q in\n%s", status, parts, strings.Join(all, "\n"))
}

// workerToken makes a token with a policy for the namespace and the nodes.
func workerToken(t *testing.T, capabilities string) string {
	t.Helper()
	name := "doctor-" + newID()
	rules := `namespace "default" { capabilities = [` + capabilities + `] }` + "\n" + `node { policy = "read" }` + "\n" + `agent { policy = "read" }`
	if _, err := shared.nomad.ACLPolicies().Upsert(&api.ACLPolicy{Name: name, Rules: rules}, nil); err != nil {
		t.Fatal(err)
	}
	token, _, err := shared.nomad.ACLTokens().Create(&api.ACLToken{Name: name, Type: "client", Policies: []string{name}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

const deployRights = `"list-jobs", "read-job", "submit-job", "parse-job", "read-logs"`

func TestDoctorFindsTheRealPartsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start() // it makes the streams
	results, code := w.examine("NOMAD_TOKEN=" + workerToken(t, deployRights))
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, r := range results {
		t.Log(r)
		// What is old or open on this bed is so on purpose.
		expected := r.Check == "programs" || r.Check == "buildkit" || strings.Contains(r.Found, "1.6.1 is below")
		if r.Status == doctor.Fail || r.Status == doctor.Warn && !expected {
			t.Errorf("%s", r)
		}
	}
	finds(t, results, doctor.OK, "nats", "our streams and our consumer: 6 fit")
	finds(t, results, doctor.OK, "nats", "rights", "are there")
	finds(t, results, doctor.OK, "nats", "clock")
	finds(t, results, doctor.OK, "nomad", "who the token is", "doctor-")
	finds(t, results, doctor.OK, "nomad", "list-jobs, read-job, parse-job, submit-job")
	finds(t, results, doctor.OK, "nomad", "1 ready, linux/amd64", "Docker driver is healthy")
	finds(t, results, doctor.OK, "nomad", "max_kill_timeout", "leaves 30s")
	finds(t, results, doctor.Warn, "nomad", "1.6.1 is below")
	finds(t, results, doctor.OK, "buildkit", "version 0.34.2")
	finds(t, results, doctor.OK, "registry", "begin an upload", "allowed")
	finds(t, results, doctor.OK, "workdir", "works")
}

func TestDoctorNamesTheOptionOfEachBrokenPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	old := filepath.Join(t.TempDir(), "git")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho git version 2.30.2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		env    []string
		status doctor.Status
		code   int
		parts  []string
	}{
		{"a wrong token", []string{"NOMAD_TOKEN=11111111-2222-3333-4444-555555555555"}, doctor.Fail, 1, []string{"who the token is", "NOMAD_TOKEN: "}},
		{"a token that may only look", []string{"NOMAD_TOKEN=" + workerToken(t, `"list-jobs", "read-job", "parse-job"`)}, doctor.Fail, 1, []string{"lacks submit-job", "NOMAD_TOKEN: "}},
		{"a namespace that is not there", []string{"NOMAD_NAMESPACE=nowhere"}, doctor.Fail, 1, []string{"nowhere", "NOMAD_NAMESPACE: "}},
		{"no Nomad", []string{"NOMAD_ADDR=http://127.0.0.1:1"}, doctor.Fail, 1, []string{"nomad", "NOMAD_ADDR: "}},
		{"a drain that Nomad cuts off", []string{"DISPATCHD_DRAIN_TIMEOUT=5m"}, doctor.Warn, 0, []string{"kills after 30s", "DISPATCHD_DRAIN_TIMEOUT: "}},
		{"no BuildKit", []string{"BUILDKIT_HOST=unix:///nowhere.sock"}, doctor.Fail, 1, []string{"buildkit", "BUILDKIT_HOST: "}},
		{"no registry", []string{"DISPATCHD_REGISTRY=127.0.0.1:1/apps"}, doctor.Fail, 1, []string{"registry", "DISPATCHD_REGISTRY: "}},
		{"a wrong password", []string{"REGISTRY_PASSWORD=hunter2hunter2"}, doctor.Fail, 1, []string{"refused the credentials", "REGISTRY_PASSWORD: "}},
		{"no NATS", []string{"NATS_SERVERS=nats://127.0.0.1:1"}, doctor.Fail, 1, []string{"connect to NATS", "NATS_SERVERS: "}},
		{"another prefix", []string{"NATS_STREAM_PREFIX=elsewhere"}, doctor.Fail, 1, []string{"none covers elsewhere.deployment.status.changed", "NATS_STREAM_PREFIX: "}},
		{"an old git", []string{"PATH=" + filepath.Dir(old)}, doctor.Warn, 0, []string{"git --version", "2.30.2 is below", "PATH: upgrade git"}},
		{"no git", []string{"PATH=/nowhere"}, doctor.Fail, 1, []string{"git --version", "PATH: install git"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			results, code := w.examine(test.env...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			finds(t, results, test.status, test.parts...)
			for _, r := range results {
				if strings.Contains(r.String(), "hunter2") || strings.Contains(r.String(), shared.bed.Nomad.Token()) {
					t.Errorf("a secret is shown: %s", r)
				}
			}
		})
	}
}
