//go:build e2e

package buildkit_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
)

// dockerEnv names the Docker daemon that these tests load images into.
const dockerEnv = "DISPATCHD_TEST_DOCKER"

// unpushed asks for a build that is not pushed.
func unpushed(t testing.TB, tag string) tasks.BuildRequest {
	t.Helper()
	req := request(t, &testRegistry{host: "registry.invalid"}, map[string]string{
		"Dockerfile": "FROM scratch\nCOPY data /\nEXPOSE 80\nCMD [\"/data\", \"x\"]\n", "data": nonce() + strings.Repeat("x", 1<<20),
	})
	req.Push, req.Tag = false, tag
	return req
}

func TestUnpushedImagesAreLoaded(t *testing.T) {
	t.Parallel()
	host := os.Getenv(dockerEnv)
	if host == "" {
		t.Skipf("%s is not set: no Docker daemon to test with", dockerEnv)
	}
	client := newClient(t, buildkit.Options{Address: daemonAddress(t), DockerHost: host})
	for _, tag := range []string{"v7", "latest"} {
		req := unpushed(t, tag)
		rep := newRecorder()
		image, err := client.Build(t.Context(), req, rep)
		if err != nil {
			t.Fatalf("%v\n%s", err, rep.Log())
		}
		if !image.Loaded || image.Digest != "" || image.Unresolved != "" || image.Name != req.Name {
			t.Errorf("got %+v, want an image that is loaded", image)
		}
		// Nomad pulls whatever has the tag latest.
		if tag != "latest" && image.Tag != tag || tag == "latest" && !strings.HasPrefix(image.Tag, "build-") {
			t.Errorf("the tag %s became %s", tag, image.Tag)
		}
		if diff := cmp.Diff([]string{"/data", "x"}, inDocker(t, host, image.Reference())); diff != "" {
			t.Error(diff)
		}
		if len(rep.Stages()) > 0 {
			t.Errorf("got stages %v of a build without a push", rep.Stages())
		}
	}
}

// inDocker returns the command of an image that the daemon has.
func inDocker(t testing.TB, host, name string) []string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", strings.TrimPrefix(host, "unix://"))
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://docker/images/" + name + "/json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var image struct{ Config struct{ Cmd []string } }
	if err := json.NewDecoder(response.Body).Decode(&image); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the daemon has no image %s: status %d, %v", name, response.StatusCode, err)
	}
	return image.Config.Cmd
}

// fakeDocker is a Docker daemon on a socket that answers as the test says.
func fakeDocker(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + socket
}

func TestDockerDaemonsThatTakeNoImage(t *testing.T) {
	t.Parallel()
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	for name, tc := range map[string]struct {
		host   string
		reason tasks.Reason
		want   string
	}{
		"refuses at once": {fakeDocker(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"authorization denied by plugin"}`)
		}), tasks.ReasonBuilderDown, "authorization denied by plugin"},
		"fails in the stream": {fakeDocker(t, says(http.StatusOK, `{"stream":"loading"}`+"\n"+`{"error":"write /var/lib/docker/x: no space left on device"}`)), tasks.ReasonDiskFull, "no space left"},
		"fails without words": {fakeDocker(t, says(http.StatusInternalServerError, "")), tasks.ReasonBuilderDown, "status 500 internal server error"},
		"hangs up":            {fakeDocker(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), tasks.ReasonBuilderDown, "load the image into the Docker daemon at unix://"},
		"is away":             {"unix:///no/such/docker.sock", tasks.ReasonBuilderDown, "it cannot be reached"},
		"is no daemon":        {"ssh://somebody@somewhere", tasks.ReasonUnsupported, "DOCKER_HOST ssh://somebody@somewhere is neither unix:///path nor tcp://host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, buildkit.Options{Address: daemonAddress(t), DockerHost: tc.host})
			_, err := client.Build(t.Context(), unpushed(t, "v1"), newRecorder())
			checkFailure(t, err, tc.reason, tc.want)
		})
	}
}

// TestLoadingABuildThatFails: the daemon is asked for nothing, and what failed
// is the build.
func TestLoadingABuildThatFails(t *testing.T) {
	t.Parallel()
	asked := make(chan url.URL, 10)
	host := fakeDocker(t, func(_ http.ResponseWriter, req *http.Request) { asked <- *req.URL })
	req := unpushed(t, "v1")
	req.Dir = writeTree(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
	client := newClient(t, buildkit.Options{Address: daemonAddress(t), DockerHost: host})
	_, err := client.Build(t.Context(), req, newRecorder())
	checkFailure(t, err, tasks.ReasonBuildFailed, `"/nothing": not found`)
	if len(asked) > 0 {
		t.Errorf("the daemon was asked for %v", <-asked)
	}
}
