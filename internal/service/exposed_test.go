package service_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestThePortShowsNeitherSecretsNorTenants: nobody is asked who they are there,
// so nothing may stand there that is not for everybody on the network.
func TestThePortShowsNeitherSecretsNorTenants(t *testing.T) {
	p := newPlatform(t)
	port := freePort(t)
	t.Setenv("DISPATCHD_HTTP_ADDR", port)
	host, log := p.host(map[string]string{
		"NOMAD_ADDR": "http://127.0.0.1:1", "NOMAD_TOKEN": "planted-nomad", "VAULT_TOKEN": "planted-vault", "ACCESS_TOKEN": "planted-access",
		"BACKEND_URL": "http://127.0.0.1:1/planted-path", "DISPATCHD_REGISTRY": "127.0.0.1:1/apps", "REGISTRY_USERNAME": "planted-user", "REGISTRY_PASSWORD": "planted-password",
	})
	host.Config.HTTPAddr = port
	start(t, host, log)
	for subject, body := range map[string]string{
		"dispatch.task.deploy-image.planted-job.planted-task": `{"task":"deploy-image","params":{"jobId":"planted-job","imageName":"planted-image","deploymentId":"planted-deployment",
			"serviceId":"planted-service","nomadToken":"planted-tasks-token","deploy":"noop"}}`,
		"dispatch.task.deploy-image.planted-job.planted-bad": `{"task":"deploy-image","params":{"jobId":"planted-job","imageName":"planted-image","cpu":"planted-cpu"}}`,
	} {
		if _, err := p.js.Publish(t.Context(), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool {
		_, metrics := get(t, "http://"+port+"/metrics")
		return strings.Contains(metrics, `outcome="succeeded"} 1`) && strings.Contains(metrics, `dispatchd_dead_letters_total{reason="invalid_task"} 1`)
	})
	for _, path := range []string{"/metrics", "/", "/readyz", "/healthz"} {
		if _, body := get(t, "http://"+port+path); strings.Contains(body, "planted-") {
			t.Errorf("%s shows what was planted:\n%s", path, body)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars"} {
		if code, _ := get(t, "http://"+port+path); code != http.StatusNotFound {
			t.Errorf("%s answers %d, want 404", path, code)
		}
	}
}
