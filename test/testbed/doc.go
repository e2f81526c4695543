// Package testbed starts the real parts that a deployment needs on one Debian
// machine: Docker, BuildKit, Nomad, an image registry, a git server and NATS.
//
// Ensure finds the programs or installs and builds them. Start composes a Bed
// from the parts that are asked for; everything listens on 127.0.0.1 or on a
// unix socket and keeps its data in the bed's own directory, so several beds
// run side by side. Close ends the parts in the right order and says what it
// could not remove.
//
// Each bed holds a slot: a number that gives it its own ports, bridge, cgroup
// and run directory, and whose lock dies with the process. A bed that was
// killed is swept by the next one that gets its slot.
//
// The demo, the e2e suite and the benchmarks use this package; the product
// never does.
package testbed
