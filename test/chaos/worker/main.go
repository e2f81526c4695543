// Command worker is the service as it is, but for two things: what its tasks do
// is written to a stream instead of done, so that a checker can read who did
// what and when, and workers may notice each other's end faster.
//
// Its settings are dispatchd's own, and CHAOS_ACK_WAIT and CHAOS_LEASE_TTL.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/service"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	host, err := service.NewHost(service.Version{Number: "chaos"}, os.Environ(), os.Stderr)
	if err != nil {
		return err
	}
	if host.Pace, err = paceOf(os.Getenv); err != nil {
		return err
	}
	nc, err := nats.Connect(os.Getenv("NATS_SERVERS"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		return fmt.Errorf("connect for the effects: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	host.Handler = &handler{js: js, worker: host.Config.Worker.ID}
	if len(os.Args) > 1 && os.Args[1] == "run-once" {
		return service.RunOnce(ctx, host)
	}
	return service.Run(ctx, host)
}

// paceOf reads how fast workers notice each other's end; unset is production's.
func paceOf(env func(string) string) (queue.Pace, error) {
	var pace queue.Pace
	for name, into := range map[string]*time.Duration{"CHAOS_ACK_WAIT": &pace.AckWait, "CHAOS_LEASE_TTL": &pace.LeaseTTL} {
		text := env(name)
		if text == "" {
			continue
		}
		value, err := time.ParseDuration(text)
		if err != nil {
			return pace, fmt.Errorf("%s: %w", name, err)
		}
		*into = value
	}
	return pace, nil
}
