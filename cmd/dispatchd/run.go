package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/service"
)

func newRun() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the service: take tasks from the work queue until SIGTERM",
		Long: `run takes tasks from the JetStream work queue, DISPATCHD_SLOTS at a time, until it
gets SIGTERM. Then it takes no more, lets the running ones go on for
DISPATCHD_DRAIN_TIMEOUT, hands the rest back to the queue, and exits with 0.

It creates its own streams and buckets, and refuses to start where one of them does
not fit or where no stream covers a status subject of the backend.`,
		Example: `  NATS_SERVERS=nats://127.0.0.1:4222 NOMAD_ADDR=http://127.0.0.1:4646 dispatchd run`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := service.NewHost(version(), os.Environ(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return service.Run(cmd.Context(), host)
		},
	}
}

// newRunOnce makes run-once, and the hidden name that old job files call.
func newRunOnce(name string, hidden bool) *cobra.Command {
	return &cobra.Command{
		Use:    name,
		Hidden: hidden,
		Short:  "Run the one task of NOMAD_META_TASK and NOMAD_META_PARAMS",
		Long: name + ` runs one task, as a Nomad parameterized job dispatches it: NOMAD_META_TASK is the
kind of task, NOMAD_META_PARAMS its params as JSON or as base64 of JSON. It opens no
port and needs no work queue. It exits with 0 on success and with 1 on any failure.`,
		Example: `  NOMAD_META_TASK=deploy-image NOMAD_META_PARAMS="$(base64 -w0 params.json)" \
    NATS_SERVERS=nats://127.0.0.1:4222 dispatchd run-once`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := service.NewHost(version(), os.Environ(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return service.RunOnce(cmd.Context(), host)
		},
	}
}
