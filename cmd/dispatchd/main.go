// Command dispatchd is the deploy worker for platforms on Nomad and NATS.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/git"
)

func main() {
	git.BecomeSSH()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
