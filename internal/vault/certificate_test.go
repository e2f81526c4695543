package vault_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
)

// guest is a server that counts the requests with a client's certificate.
func guest(t *testing.T) (server *httptest.Server, shown *atomic.Int32) {
	t.Helper()
	shown = &atomic.Int32{}
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			shown.Add(1)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, shown
}

// pemFile writes one block.
func pemFile(t *testing.T, kind string, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheEnvironmentsCertificateStaysAtItsAddress(t *testing.T) {
	t.Parallel()
	home, atHome := guest(t)
	away, elsewhere := guest(t)
	own := home.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pemFile(t, "CERTIFICATE", own.Certificate[0])
	c := client(t, vault.Options{Address: home.URL, CACert: certificate, ClientCert: certificate, ClientKey: pemFile(t, "PRIVATE KEY", key)})
	for _, address := range []string{"", away.URL} {
		_, _, err := query(t, c, tasks.SecretQuery{Address: address, RoleID: roleID, SecretID: secretID, Paths: []tasks.SecretPath{{Path: "kv/data/p/s"}}})
		failed(t, err, tasks.ReasonSecretsDenied)
	}
	if atHome.Load() == 0 || elsewhere.Load() != 0 {
		t.Errorf("the certificate was shown %d times at home and %d times elsewhere, want some and none", atHome.Load(), elsewhere.Load())
	}
}
