//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	bigendian "encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"iter"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// layerFiles are the entries of a layer's archive.
func layerFiles(t *testing.T, layer v1.Layer) iter.Seq[*tar.Header] {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*tar.Header) bool) {
		defer func() { _ = content.Close() }()
		archive := tar.NewReader(content)
		for {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(header) {
				return
			}
		}
	}
}

// tlsServer is the address of a repository that does not exist, and the file of
// the certificate that one must trust to hear so.
func tlsServer(t *testing.T) (address, certificate string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate = filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(certificate, text, 0o644); err != nil { //nolint:gosec // read by the container's user
		t.Fatal(err)
	}
	return server.URL + "/acme/app.git", certificate
}

// runContainer runs a command in a container of an image on the host's network
// and returns its exit code and what it said. A bind is HOST:CONTAINER.
func runContainer(t *testing.T, image string, argv []string, binds ...string) (code int, out string) {
	t.Helper()
	d := newEngine()
	d.call(t, http.MethodPost, "/images/create?fromImage="+url.QueryEscape(image), nil, nil)
	var made struct {
		ID string `json:"Id"`
	}
	d.call(t, http.MethodPost, "/containers/create", map[string]any{
		"Image": image, "Entrypoint": argv[:1], "Cmd": argv[1:], "HostConfig": map[string]any{"NetworkMode": "host", "Binds": binds},
	}, &made)
	t.Cleanup(func() { d.call(t, http.MethodDelete, "/containers/"+made.ID+"?force=1", nil, nil) })
	d.call(t, http.MethodPost, "/containers/"+made.ID+"/start", nil, nil)
	var ended struct{ StatusCode int }
	d.call(t, http.MethodPost, "/containers/"+made.ID+"/wait", nil, &ended)
	return ended.StatusCode, plainLog(d.call(t, http.MethodGet, "/containers/"+made.ID+"/logs?stdout=1&stderr=1", nil, nil))
}

// engine is a client of the bed's Docker.
type engine struct{ client http.Client }

func newEngine() *engine {
	socket := strings.TrimPrefix(shared.bed.Docker.Addr(), "unix://")
	return &engine{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
}

// call asks the Engine's API and returns the answer's body, which is read into
// into where that is given.
func (e *engine) call(t *testing.T, method, path string, body, into any) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, bytes.NewReader(mustJSON(t, body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	login := mustJSON(t, map[string]string{"username": shared.bed.Login.Username, "password": shared.bed.Login.Password, "serveraddress": shared.bed.Registry.Addr()})
	req.Header.Set("X-Registry-Auth", base64.URLEncoding.EncodeToString(login))
	res, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return text
}

// plainLog takes the frames of both streams apart.
func plainLog(text []byte) string {
	var out strings.Builder
	for len(text) >= 8 {
		size := min(int(bigendian.BigEndian.Uint32(text[4:8])), len(text)-8)
		out.Write(text[8 : 8+size])
		text = text[8+size:]
	}
	return out.String()
}
