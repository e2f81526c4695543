// Package natstest gives a test a NATS server of its own: real, in process, on
// a free port of loopback, with its store in the test's temporary directory.
package natstest

import (
	"testing"

	"github.com/dispatchd/dispatchd/internal/embednats"
)

// Run starts a server that ends with the test.
func Run(tb testing.TB) *embednats.Server {
	tb.Helper()
	return RunWith(tb, embednats.Options{})
}

// RunWith is Run with options; an empty StoreDir is the test's.
func RunWith(tb testing.TB, o embednats.Options) *embednats.Server {
	tb.Helper()
	if o.StoreDir == "" {
		o.StoreDir = tb.TempDir()
	}
	s, err := embednats.Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Shutdown)
	return s
}
