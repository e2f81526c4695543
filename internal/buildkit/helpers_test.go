package buildkit_test

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a tasks.Reporter that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	stages []tasks.Stage
	out    bytes.Buffer
	errOut bytes.Buffer
	lines  chan struct{}
}

func newRecorder() *recorder { return &recorder{lines: make(chan struct{}, 1)} }

func (r *recorder) Stage(s tasks.Stage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stages = append(r.stages, s)
}

func (r *recorder) Stdout() io.Writer { return lockedWriter{r, &r.out} }
func (r *recorder) Stderr() io.Writer { return lockedWriter{r, &r.errOut} }

func (r *recorder) Stages() []tasks.Stage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]tasks.Stage(nil), r.stages...)
}

func (r *recorder) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String() + r.errOut.String()
}

type lockedWriter struct {
	r  *recorder
	to *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	select {
	case w.r.lines <- struct{}{}:
	default:
	}
	return w.to.Write(p)
}

// writeTree makes a source tree. A value that begins with "-> " is a symlink.
func writeTree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(content, "-> "); isLink {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkFailure requires a *tasks.Failure with the reason whose message holds
// every text.
func checkFailure(t testing.TB, err error, reason tasks.Reason, texts ...string) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want a failure with reason %s", err, reason)
	}
	if failure.Reason != reason {
		t.Errorf("got reason %s (%v), want %s", failure.Reason, err, reason)
	}
	for _, text := range texts {
		if !strings.Contains(failure.Message, text) {
			t.Errorf("got message %q, want %q in it", failure.Message, text)
		}
	}
	for _, never := range []string{"exit status", "failed to solve", "rpc error"} {
		if strings.Contains(failure.Message, never) {
			t.Errorf("the message %q holds %q", failure.Message, never)
		}
	}
}

// The credentials that the test registries accept.
const (
	testUser     = "alice"
	testPassword = "correct-horse-battery"
	testToken    = "tok-0123456789abcdef"
)

// testRegistry is a registry in this process.
type testRegistry struct {
	host string
	url  string

	mu   sync.Mutex
	seen []*http.Request
}

// newRegistry serves an open registry; wrap may put anything in front of it.
func newRegistry(t testing.TB, wrap func(*testRegistry, http.Handler) http.Handler) *testRegistry {
	t.Helper()
	r := &testRegistry{}
	var handler http.Handler = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(nil)
	r.host = server.Listener.Addr().String()
	r.url = "http://" + r.host
	if wrap != nil {
		handler = wrap(r, handler)
	}
	server.Config.Handler = r.record(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return r
}

func (r *testRegistry) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Clone(req.Context()))
		r.mu.Unlock()
		next.ServeHTTP(w, req)
	})
}

// authorizations lists the Authorization headers that came in.
func (r *testRegistry) authorizations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, req := range r.seen {
		if header := req.Header.Get("Authorization"); header != "" {
			all = append(all, header)
		}
	}
	return all
}

// basicAuth wants the test user and password.
func basicAuth(_ *testRegistry, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !isTestUser(req) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
			return
		}
		next.ServeHTTP(w, req)
	})
}

// bearerAuth wants a token, which /token gives to the test user.
func bearerAuth(r *testRegistry, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			giveToken(w, req)
			return
		}
		if req.Header.Get("Authorization") != "Bearer "+testToken {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test",scope="repository:app:pull,push"`, r.url))
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
			return
		}
		next.ServeHTTP(w, req)
	})
}

func giveToken(w http.ResponseWriter, req *http.Request) {
	token := "anonymous"
	if isTestUser(req) {
		token = testToken
	} else if req.Header.Get("Authorization") != "" || req.Method == http.MethodPost {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}

func isTestUser(req *http.Request) bool {
	user, password, _ := req.BasicAuth()
	return user == testUser && subtle.ConstantTimeCompare([]byte(password), []byte(testPassword)) == 1
}

// answer gives every request the status.
func answer(status int, code string) func(*testRegistry, http.Handler) http.Handler {
	return func(*testRegistry, http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code) })
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"refused by the test"}]}`, code)
}

// testImage makes an image that exposes the ports and is told apart by its label.
func testImage(t testing.TB, label string, ports ...string) v1.Image {
	t.Helper()
	config := v1.Config{Labels: map[string]string{"test": label}, ExposedPorts: map[string]struct{}{}}
	for _, port := range ports {
		config.ExposedPorts[port] = struct{}{}
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Config: config, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// put pushes an image or index as host/repository:tag and returns its digest.
func put(t testing.TB, reference string, what remote.Taggable, options ...remote.Option) string {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	options = append(options, remote.WithTransport(transport))
	switch what := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what, options...)
	case v1.Image:
		err = remote.Write(ref, what, options...)
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, err := what.(interface{ Digest() (v1.Hash, error) }).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}
