//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// uploadToken stands in the address of every upload.
const uploadToken = "signature-of-the-upload"

// TestAnUploadBecomesHealthy deploys an archive, from a host that is away at first.
func TestAnUploadBecomesHealthy(t *testing.T) {
	t.Parallel()
	archive := tarGz(t, "app-1.0/", sample(t, testbed.Sample{Version: "uploaded", Base: shared.base}))
	var asked atomic.Int32
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 || r.URL.Query().Get("token") != uploadToken {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(archive)
	}))
	t.Cleanup(files.Close)
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_UPLOAD_HOSTS=" + files.URL}})
	worker := w.start()
	k := uploaded(t, files.URL)
	s := w.send(k)
	w.succeeded(s, patience)
	if got, want := answer(t, k.job()), "hello from uploaded\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
	log := w.logText(s)
	for _, part := range []string{"clone: unpacked upload up-7: a tar.gz archive", "the archive's only directory, app-1.0", "answered with status 503; trying again"} {
		if !strings.Contains(log, part) {
			t.Errorf("the log does not hold %q:\n%s", part, log)
		}
	}
	for place, text := range map[string]string{"the build log": log, "the worker's log": worker.err.String()} {
		if strings.Contains(text, uploadToken) {
			t.Errorf("%s shows the address:\n%s", place, text)
		}
	}
	wantEmptyWorkDir(t, w)
}

// TestUploadsThatAreRefused ends each with its reason and nothing left.
func TestUploadsThatAreRefused(t *testing.T) {
	t.Parallel()
	slip := tarGz(t, "", map[string]string{"Dockerfile": "FROM scratch", "../../evil": "x"})
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slip":
			_, _ = w.Write(slip)
		case "/large":
			_, _ = w.Write(make([]byte, 2<<20))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(files.Close)
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_UPLOAD_HOSTS=" + files.URL, "DISPATCHD_UPLOAD_MAX_DOWNLOAD=1MiB"}})
	w.start()
	for address, want := range map[string]struct{ reason, text string }{
		files.URL + "/slip":         {"source_invalid", `upload up-7: "../../evil" in its archive leaves the archive`},
		files.URL + "/large":        {"source_too_large", "its archive is larger than 1 MiB"},
		files.URL + "/gone":         {"source_not_found", "does not have it"},
		"https://files.example/up":  {"source_rejected", "the host files.example:443 is not in DISPATCHD_UPLOAD_HOSTS"},
		"http://169.254.169.254/up": {"source_rejected", "is not in DISPATCHD_UPLOAD_HOSTS"},
	} {
		r := w.failed(w.send(uploaded(t, address)), patience, want.reason, "clone")
		if !strings.Contains(r.Message, want.text) {
			t.Errorf("%s: the message is %q, want %q in it", address, r.Message, want.text)
		}
	}
	wantEmptyWorkDir(t, w)
}

// uploaded is a deploy-repository of an upload.
func uploaded(t *testing.T, address string) task {
	t.Helper()
	k := task{kind: "deploy-repository", params: deploy(t, "uploaded")}.again()
	return k.with(params{
		"sourceType": "local_upload", "sourceUrl": address + "?token=" + uploadToken, "uploadId": "up-7",
		"build": params{"builder": "csdocker"},
	})
}

// tarGz packs files below a directory.
func tarGz(t *testing.T, dir string, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	w := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: dir + name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
