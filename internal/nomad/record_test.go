//go:build e2e

package nomad_test

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

var update = flag.Bool("update", false, "record the answers of the real Nomad into testdata")

// TestRecord writes what a real Nomad answers about jobs of several fates. The
// unit tests replay them and compare the fake's answers with them.
func TestRecord(t *testing.T) {
	t.Parallel()
	if !*update {
		t.Skip("run with -update to record")
	}
	b := newBench(t)
	check := `network {
      port "http" {}
    }
    service {
      name     = "web"
      provider = "nomad"
      port     = "http"
      check {
        type     = "http"
        path     = "/"
        interval = "1s"
        timeout  = "1s"
      }
    }` + "\n" + slowReschedule
	server := `python3 -c 'import http.server,os
class H(http.server.BaseHTTPRequestHandler):
  def do_GET(s):
    s.send_response(500); s.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["NOMAD_PORT_http"])), H).serve_forever()'`
	for name, hcl := range map[string]func(id string) string{
		"healthy": func(id string) string { return service(id, runs, "") },
		"crash":   func(id string) string { return service(id, "exit 3", noReschedule) },
		"check":   func(id string) string { return service(id, server, check) },
		"memory": func(id string) string {
			return strings.Replace(service(id, runs, ""), "memory = 32", "memory = 80000", 1)
		},
		"batch": func(id string) string { return kind(id, `type = "batch"`, "echo done") },
	} {
		t.Run(name, func(t *testing.T) { b.record(t, name, hcl) })
	}
}

// record deploys one job and keeps every list that the watch reads.
func (b *bench) record(t *testing.T, name string, hcl func(string) string) {
	id := b.id(t, "record-"+name)
	reg, _, _, _ := b.deploy(t, id, "task-1", hcl(id))
	base := "/v1/job/" + url.PathEscape(id)
	for file, path := range map[string]string{
		"job": base, "versions": base + "/versions", "deployments": base + "/deployments",
		"allocations": base + "/allocations", "evaluations": base + "/evaluations", "jobs": "/v1/jobs?prefix=" + id,
	} {
		b.keep(t, name, file, http.MethodGet, path, nil)
	}
	if name == "check" {
		allocs, _, err := b.raw.Jobs().Allocations(id, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.keep(t, name, "checks", http.MethodGet, "/v1/client/allocation/"+allocs[0].ID+"/checks", nil)
	}
	if name == "healthy" {
		job, _, err := b.raw.Jobs().Info(id, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.keep(t, name, "conflict", http.MethodPut, "/v1/jobs", &api.JobRegisterRequest{Job: job, EnforceIndex: true, JobModifyIndex: 1})
		b.keep(t, name, "parse", http.MethodPut, "/v1/jobs/parse", &api.JobsParseRequest{JobHCL: hcl(id)})
		b.keep(t, name, "register", http.MethodPut, "/v1/jobs", &api.JobRegisterRequest{Job: job})
		b.keep(t, name, "deregister", http.MethodDelete, base+"?purge=false", nil)
	}
	b.write(t, name, "registration", must(json.Marshal(reg)))
}

// keep sends one request and writes its answer; the Nomad's own text is kept
// under a status where it is an error.
func (b *bench) keep(t *testing.T, scenario, file, method, path string, body any) {
	t.Helper()
	var payload io.Reader
	if body != nil {
		payload = strings.NewReader(string(must(json.Marshal(body))))
	}
	request := must(http.NewRequestWithContext(t.Context(), method, b.address+path, payload))
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	response := must(client.Do(request))
	defer response.Body.Close()
	text := must(io.ReadAll(response.Body))
	if response.StatusCode != http.StatusOK {
		text = must(json.Marshal(map[string]any{"status": response.StatusCode, "body": string(text)}))
	}
	b.write(t, scenario, file, text)
}

func (b *bench) write(t *testing.T, scenario, file string, text []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s/%s: %v", scenario, file, err)
	}
	path := filepath.Join("testdata", "nomad-1.6.1", scenario, file+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(must(json.MarshalIndent(value, "", " ")), '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var _ tasks.Reporter = (*reporter)(nil)
