// Command dispatchd-dev is dispatchd's service on a NATS server of its own, for
// newcomers and tests: nothing but a Nomad, a BuildKit and a registry is needed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/service"
)

func main() {
	git.BecomeSSH()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := newRoot()
	if err := cmd.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "dispatchd-dev: "+err.Error())
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	store string
	port  int
}

func newRoot() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "dispatchd-dev",
		Short: "dispatchd's service on an embedded NATS server",
		Long: `dispatchd-dev starts a NATS server with JetStream and file storage on loopback, makes
the streams that a platform's backend would have, and runs the service on them. Every
setting of dispatchd but NATS_SERVERS holds here too.`,
		Example: `  dispatchd-dev --store /tmp/dispatchd-dev
  NATS_SERVERS=nats://127.0.0.1:4222 dispatchd submit task.json`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.store, "store", filepath.Join(os.TempDir(), "dispatchd-dev"), "directory that keeps the server's streams")
	cmd.Flags().IntVar(&f.port, "port", 4222, "port of the server on 127.0.0.1; 0 takes a free one")
	return cmd
}

func run(ctx context.Context, f flags) error {
	server, err := embednats.Start(embednats.Options{StoreDir: f.store, Port: f.port})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	host, err := newHost(server.ClientURL())
	if err != nil {
		return err
	}
	if err := makeBackendStreams(ctx, server.ClientURL(), host.Config.NATS.StreamPrefix); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(os.Stderr, "NATS server at %s, streams in %s\n", server.ClientURL(), f.store)
	return service.Run(ctx, host)
}

// newHost takes the settings of the environment, but for the server's address.
func newHost(natsURL string) (service.Host, error) {
	if err := os.Setenv("NATS_SERVERS", natsURL); err != nil {
		return service.Host{}, fmt.Errorf("set NATS_SERVERS: %w", err)
	}
	return service.NewHost(service.Version{Number: "dev"}, os.Environ(), os.Stderr)
}

// makeBackendStreams makes what belongs to the platform's backend and is there
// in production: streams over the status subjects and the build logs.
func makeBackendStreams(ctx context.Context, url, prefix string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	nc, err := nats.Connect(url)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream at %s: %w", url, err)
	}
	subject := func(s string) string {
		if prefix == "" {
			return s
		}
		return prefix + "." + s
	}
	for name, subjects := range map[string][]string{
		"DEPLOYMENTS": {subject("deployment.>"), subject("job.destroyed")},
		"BUILD_LOGS":  {subject("build.log.>")},
	} {
		_, makeErr := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: subjects, Storage: jetstream.FileStorage})
		if makeErr != nil {
			err = errors.Join(err, fmt.Errorf("make the backend's stream %s: %w", name, makeErr))
		}
	}
	return err
}
