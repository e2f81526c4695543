//go:build e2e

package buildkit_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// daemonEnv names the buildkitd that these tests use. It must run on this
// machine, since the registries that it pushes to are in the test's process.
const daemonEnv = "DISPATCHD_TEST_BUILDKIT"

func daemonAddress(t testing.TB) string {
	t.Helper()
	address := os.Getenv(daemonEnv)
	if address == "" {
		t.Skipf("%s is not set: no buildkitd to test with", daemonEnv)
	}
	return address
}

func daemon(t testing.TB) *buildkit.Client {
	t.Helper()
	return newClient(t, buildkit.Options{Address: daemonAddress(t)})
}

// shell begins a Dockerfile whose RUN lines work: nothing can be pulled here,
// so the base is one static program out of the context.
const shell = "FROM scratch\nCOPY --chmod=755 busybox /bin/sh\nCOPY --chmod=755 busybox /bin/sleep\n"

// withShell adds the program that shell copies.
func withShell(t testing.TB, files map[string]string) map[string]string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed (Debian's busybox-static)")
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files["busybox"] = string(program)
	return files
}

// pull reads an image by its digest.
func pull(t testing.TB, image tasks.Image, options ...remote.Option) v1.Image {
	t.Helper()
	ref, err := name.NewDigest(image.Name+"@"+image.Digest, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	pulled, err := remote.Image(ref, append(options, remote.WithTransport(transport))...)
	if err != nil {
		t.Fatal(err)
	}
	return pulled
}

// filesOf reads every regular file and link of an image; a link's content is
// "-> " and its target.
func filesOf(t testing.TB, image v1.Image) map[string]string {
	t.Helper()
	flat := mutate.Extract(image)
	defer func() { _ = flat.Close() }()
	files := map[string]string{}
	reader := tar.NewReader(flat)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := io.Copy(&content, reader); err != nil {
			t.Fatal(err)
		}
		switch header.Typeflag {
		case tar.TypeReg:
			files[header.Name] = content.String()
		case tar.TypeSymlink:
			files[header.Name] = "-> " + header.Linkname
		}
	}
}

// line is a proxy between the client and the daemon that can be cut or stalled.
type line struct {
	address string
	target  *url.URL

	mu      sync.Mutex
	conns   []net.Conn
	stalled chan struct{}
	working sync.WaitGroup
}

func newLine(t testing.TB, target string) *line {
	t.Helper()
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "line.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{address: "unix://" + socket, target: parsed, stalled: make(chan struct{})}
	l.working.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.connect(conn)
		}
	})
	t.Cleanup(func() { _ = listener.Close(); l.cut(); l.working.Wait() })
	return l
}

func (l *line) connect(from net.Conn) {
	address := l.target.Path
	if l.target.Scheme == "tcp" {
		address = l.target.Host
	}
	to, err := net.Dial(l.target.Scheme, address)
	if err != nil {
		_ = from.Close()
		return
	}
	l.mu.Lock()
	l.conns = append(l.conns, from, to)
	l.mu.Unlock()
	l.working.Go(func() { l.copy(to, from) })
	l.working.Go(func() { l.copy(from, to) })
}

// copy passes bytes on until the line is stalled; then it swallows them.
func (l *line) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			_ = to.Close()
			return
		}
		select {
		case <-l.stalled:
			continue
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			_ = from.Close()
			return
		}
	}
}

func (l *line) stall() { close(l.stalled) }

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

// waitFor returns when the text is in the log. The step's name holds the
// unexpanded command, so the text must be one that only the output has.
func (r *recorder) waitFor(text string) {
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !strings.Contains(r.Log(), text) {
		select {
		case <-r.lines:
		case <-deadline.C:
			return
		}
	}
}

// waitUntil polls a condition that nothing announces.
func waitUntil(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Error("the condition did not come true within 10s")
			return
		}
	}
}

// running reports whether a process of this machine has the text in its arguments.
func running(text string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		arguments, err := os.ReadFile(file)
		if err == nil && bytes.Contains(arguments, []byte(text)) {
			return true
		}
	}
	return false
}
