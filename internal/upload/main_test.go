package upload_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// query is the secret part of every address here.
const query = "X-Signature=the-secret-of-the-address&X-Expires=3600"

// host serves one handler and is allowed over plain http.
type host struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func serve(t testing.TB, handler http.HandlerFunc) *host {
	t.Helper()
	h := &host{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, r)
		h.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *host) asked() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*http.Request(nil), h.requests...)
}

// holding serves one archive.
func holding(t testing.TB, archive []byte) *host {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) })
}

func (h *host) upload() tasks.Upload {
	return tasks.Upload{URL: tasks.Secret(h.URL + "/files/u-1?" + query), ID: "u-1"}
}

func newClient(t testing.TB, o upload.Options) *upload.Client {
	t.Helper()
	c, err := upload.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// unpack fetches the host's archive into a fresh directory. After an error it
// checks that nothing is left and that nothing of the address is shown.
func unpack(t testing.TB, h *host, o upload.Options, paths ...string) (dir, log string, err error) {
	t.Helper()
	o.Hosts = append(o.Hosts, h.URL)
	from := h.upload()
	from.Paths = paths
	return unpackFrom(t, newClient(t, o), from)
}

func unpackFrom(t testing.TB, c *upload.Client, from tasks.Upload) (dir, log string, err error) {
	t.Helper()
	work := t.TempDir()
	dir = filepath.Join(work, "source")
	rep := &reporter{}
	err = c.Unpack(t.Context(), from, dir, rep)
	left := []string{}
	entries, readErr := os.ReadDir(work)
	if readErr != nil {
		t.Fatal(readErr)
	}
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if err != nil && len(left) != 0 {
		t.Errorf("after %v there are %q", err, left)
	}
	if err == nil && (len(left) != 1 || left[0] != "source") {
		t.Errorf("beside the source there are %q", left)
	}
	wantNoSecret(t, rep.String(), err)
	return dir, rep.String(), err
}

// wantNoSecret checks that neither log nor error, cause included, shows the address.
func wantNoSecret(t testing.TB, log string, err error) {
	t.Helper()
	text := log
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += e.Error()
	}
	if strings.Contains(text, "the-secret-of-the-address") {
		t.Errorf("the address is shown: %s", text)
	}
}

// wantFailure checks the reason and parts of the sentence.
func wantFailure(t testing.TB, err error, reason tasks.Reason, texts ...string) {
	t.Helper()
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error is %v, want a *tasks.Failure", err)
	}
	if failure.Reason != reason {
		t.Errorf("reason is %s (%v), want %s", failure.Reason, err, reason)
	}
	for _, text := range texts {
		if !strings.Contains(failure.Message, text) {
			t.Errorf("message is %q, want it to hold %q", failure.Message, text)
		}
	}
	if strings.ContainsFunc(failure.Message, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("message %q has control characters", failure.Message)
	}
}

// contents reads a tree: files by their content, links as "-> target",
// executables with "x " in front.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			found[name] = "-> " + target
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		found[name] = string(content)
		if info.Mode()&0o111 != 0 {
			found[name] = "x " + found[name]
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// reporter keeps what is said.
type reporter struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *reporter) Stage(tasks.Stage) {}
func (r *reporter) Stdout() io.Writer { return r }
func (r *reporter) Stderr() io.Writer { return r }

func (r *reporter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *reporter) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
