package buildkit_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func newClient(t testing.TB, options buildkit.Options) *buildkit.Client {
	t.Helper()
	c, err := buildkit.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, valid := range map[string]bool{
		"": true, "unix:///run/x.sock": true, "tcp://10.0.0.1:1234": true,
		"docker-container://x": false, "/run/x.sock": false, "http://x": false, "::": false,
	} {
		if _, err := buildkit.New(buildkit.Options{Address: address}); (err == nil) != valid {
			t.Errorf("%q: got %v, want valid %v", address, err, valid)
		}
	}
}

func buildRequest(dir string) tasks.BuildRequest {
	return tasks.BuildRequest{Builder: tasks.BuilderDocker, Dir: dir, Name: "127.0.0.1:1/app", Tag: "v1", Push: true}
}

// silentDaemon accepts connections and says nothing.
func silentDaemon(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		var held []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); accepting.Wait() })
	return "tcp://" + listener.Addr().String()
}

func TestBuilderAway(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	for name, tc := range map[string]struct{ address, want string }{
		"no socket": {"unix://" + filepath.Join(t.TempDir(), "none.sock"), "cannot be reached"},
		"refused":   {"tcp://127.0.0.1:1", "cannot be reached"},
		"silent":    {silentDaemon(t), "did not answer within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, buildkit.Options{Address: tc.address, AnswerTimeout: 300 * time.Millisecond})
			_, err := c.Build(t.Context(), buildRequest(dir), newRecorder())
			checkFailure(t, err, tasks.ReasonBuilderDown, tc.address, tc.want)
			checkFailure(t, c.Ping(t.Context()), tasks.ReasonBuilderDown, tc.address, tc.want)
		})
	}
}

func TestBuildReturnsTheCauseWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	c := newClient(t, buildkit.Options{Address: silentDaemon(t)})
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, func() { cancel(tasks.ErrCancelled) })
	defer timer.Stop()
	began := time.Now()
	_, err := c.Build(ctx, buildRequest(dir), newRecorder())
	if !errors.Is(err, tasks.ErrCancelled) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestBuildRefusesBeforeItConnects(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	for name, tc := range map[string]struct {
		change func(*tasks.BuildRequest)
		reason tasks.Reason
		text   string
	}{
		"nixpacks":       {func(r *tasks.BuildRequest) { r.Builder = tasks.BuilderNixpacks }, tasks.ReasonUnsupported, "this worker plans no builds with nixpacks"},
		"railpack":       {func(r *tasks.BuildRequest) { r.Builder = tasks.BuilderRailpack }, tasks.ReasonUnsupported, "plans no builds with railpack"},
		"a bad name":     {func(r *tasks.BuildRequest) { r.Name = "Not Valid" }, tasks.ReasonImageInvalid, `"Not Valid"`},
		"a bad tag":      {func(r *tasks.BuildRequest) { r.Tag = "a b" }, tasks.ReasonImageInvalid, "the tag is not valid"},
		"a digest":       {func(r *tasks.BuildRequest) { r.Tag = "sha256:" + strings.Repeat("a", 64) }, tasks.ReasonImageInvalid, "names a digest"},
		"no such source": {func(r *tasks.BuildRequest) { r.Context = "nope" }, tasks.ReasonSourceInvalid, "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := buildRequest(dir)
			tc.change(&req)
			_, err := newClient(t, buildkit.Options{Address: "tcp://127.0.0.1:1"}).Build(t.Context(), req, newRecorder())
			checkFailure(t, err, tc.reason, tc.text)
		})
	}
}
