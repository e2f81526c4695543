//go:build e2e

package bench_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/queue"
)

// serveEnv makes this program a NATS server with its store in that directory.
const serveEnv = "DISPATCHD_BENCH_NATS_STORE"

// serve runs the server until its standard input ends.
func serve(store string) int {
	server, err := embednats.Start(embednats.Options{StoreDir: store})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Shutdown()
	fmt.Fprintln(os.Stdout, server.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// natsServer is a NATS server that runs as a process of its own.
type natsServer struct {
	url string
	pid int
}

// startServer runs this program as a NATS server.
func startServer(b *testing.B) natsServer {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+b.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	must(b, err)
	return natsServer{url: strings.TrimSpace(url), pid: cmd.Process.Pid}
}

// platform is one subject prefix on a server, with our streams and the backend's.
type platform struct {
	url      string
	server   natsServer
	topology queue.Topology
	nc       *nats.Conn
	js       jetstream.JetStream
}

// newPlatform connects the way the service does and makes every stream.
func newPlatform(b *testing.B, server natsServer, prefix string) *platform {
	b.Helper()
	ctx := brief(b)
	nc, err := natsconn.Connect(ctx, natsconn.Options{Servers: []string{server.url}, Name: "bench " + prefix})
	must(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(b, err)
	p := &platform{url: server.url, server: server, topology: queue.Topology{Prefix: prefix}, nc: nc, js: js}
	must(b, queue.EnsureService(ctx, nc, js, p.topology))
	for _, config := range []jetstream.StreamConfig{
		{Name: prefix + "_DEPLOYMENTS", Subjects: []string{p.subject("deployment.>"), p.subject("job.destroyed")}},
		{Name: prefix + "_BUILD_LOGS", Subjects: []string{p.subject("build.log.>")}},
	} {
		_, err := js.CreateStream(ctx, config)
		must(b, err)
	}
	return p
}

func (p *platform) subject(s string) string { return p.topology.Prefix + "." + s }

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// brief is a context for a request or a few.
func brief(b *testing.B) context.Context {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.Context()), 20*time.Second)
	b.Cleanup(cancel)
	return ctx
}
