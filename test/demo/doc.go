// Command demo is `make demo`: it shows on one Debian machine how a git
// repository becomes a healthy Nomad job, and how that fails.
//
// It starts real parts on loopback with test/testbed, runs bin/dispatchd as the
// service, submits tasks with `bin/dispatchd submit`, and reads what was said
// about them from the backend's streams. It compares everything that it shows
// with what must be there, so a demo that ends well is also a test.
//
// YES=1 answers its one question, KEEP=1 leaves everything running until
// Ctrl-C. Whatever it started is gone when it ends, also after a failure.
package main
