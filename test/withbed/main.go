// Command withbed starts real parts on loopback, runs a command against them,
// and ends everything: the adapters' own e2e tests find them by
// DISPATCHD_TEST_NOMAD, DISPATCHD_TEST_BUILDKIT and DISPATCHD_TEST_DOCKER.
//
//	go run ./test/withbed go test -tags e2e ./internal/nomad
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/dispatchd/dispatchd/test/testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "withbed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("no command to run")
	}
	bed, err := testbed.Start(ctx, testbed.Options{Need: testbed.NeedDocker | testbed.NeedBuildKit | testbed.NeedNomad, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.Close()) }()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DISPATCHD_TEST_NOMAD="+bed.Nomad.Addr(), "DISPATCHD_TEST_BUILDKIT="+bed.BuildKit.Addr(),
		"DISPATCHD_TEST_DOCKER="+bed.Docker.Addr())
	return cmd.Run()
}
