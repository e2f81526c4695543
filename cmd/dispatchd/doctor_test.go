package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/doctor"
)

// nobody is an environment in which no server answers. It is the process's, so
// that these tests are not parallel.
func nobody(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"NATS_SERVERS": "nats://u:secret-nats@127.0.0.1:1", "NOMAD_ADDR": "http://127.0.0.1:1", "NOMAD_TOKEN": "secret-nomad",
		"BUILDKIT_HOST": "unix:///nowhere/buildkitd.sock", "DISPATCHD_REGISTRY": "127.0.0.1:1/apps", "REGISTRY_USERNAME": "me",
		"REGISTRY_PASSWORD": "secret-registry", "VAULT_ADDR": "http://127.0.0.1:1", "BACKEND_URL": "http://127.0.0.1:1/?t=secret-query",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS": "k=secret-otlp", "DISPATCHD_WORK_DIR": t.TempDir(),
		"DISPATCHD_SLOTS": "many", "DISPATCHD_NATS_CONNECT_TIMEOUT": "300ms",
	} {
		t.Setenv(name, value)
	}
}

func TestDoctorSaysWhatIsWrongWhereNothingIsThere(t *testing.T) {
	nobody(t)
	var out, errOut bytes.Buffer
	began := time.Now()
	if code := execute(t.Context(), []string{"doctor"}, strings.NewReader(""), &out, &errOut); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	text := out.String() + errOut.String()
	for _, want := range []string{
		"fail  settings  read the settings: DISPATCHD_SLOTS", "fail  nats ", "NATS_SERVERS: start the server", "fail  nomad ", "NOMAD_ADDR: ",
		"fail  buildkit ", "BUILDKIT_HOST: ", "fail  registry ", "DISPATCHD_REGISTRY: ", "fail  vault ", "VAULT_ADDR: ", "warn  backend ", "BACKEND_URL: ",
		"warn  traces ", "OTEL_EXPORTER_OTLP_ENDPOINT: ", "ok    workdir ", "programs  git --version", " failed\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret-") {
		t.Errorf("a secret is shown:\n%s", text)
	}
}

func TestDoctorAlsoAnswersInJSON(t *testing.T) {
	nobody(t)
	var out bytes.Buffer
	if code := execute(t.Context(), []string{"doctor", "-o", "json"}, strings.NewReader(""), &out, &out); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	var results []doctor.Result
	if err := json.Unmarshal(out.Bytes(), &results); err != nil || len(results) < 10 {
		t.Fatalf("%d results: %v in %s", len(results), err, out.String())
	}
	for _, r := range results {
		if r.Check == "" || r.Tried == "" || r.Found == "" || (r.Status != doctor.OK) != (r.Fix != "" && r.Option != "") {
			t.Errorf("%+v is not complete", r)
		}
	}
}
