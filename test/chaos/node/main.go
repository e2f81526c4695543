// Command node is one NATS server of a chaos run's cluster: a process of its own,
// so that it can be killed and stopped. It takes the name of a configuration
// file of nats-server.
package main

import (
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: node <configuration file>")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	ns, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("make the server of %s: %w", file, err)
	}
	ns.ConfigureLogger()
	ns.Start()
	ns.WaitForShutdown()
	return nil
}
