package embednats

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// fatal takes the one thing worth knowing from the server's log: why it cannot
// run. As a program it would end then; in a process of ours it only never
// becomes ready.
type fatal chan string

var _ server.Logger = fatal(nil)

// Fatalf keeps the first reason.
func (f fatal) Fatalf(format string, v ...any) {
	select {
	case f <- fmt.Sprintf(format, v...):
	default:
	}
}

// Noticef says nothing.
func (fatal) Noticef(string, ...any) {}

// Warnf says nothing.
func (fatal) Warnf(string, ...any) {}

// Errorf says nothing.
func (fatal) Errorf(string, ...any) {}

// Debugf says nothing.
func (fatal) Debugf(string, ...any) {}

// Tracef says nothing.
func (fatal) Tracef(string, ...any) {}
