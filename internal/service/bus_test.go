package service

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A grace after every short cut would keep a dead worker's tasks waiting for it.
func TestOnlyALongAbsenceBeginsTheGrace(t *testing.T) {
	for _, row := range []struct {
		name  string
		away  time.Duration
		cause error
		want  bool
	}{
		{"cut and back at once", time.Second, errors.New("reset"), false},
		{"away for so long that leases may have ended", 30 * time.Second, errors.New("reset"), true},
		{"silent for nobody knows how long", time.Second, nats.ErrStaleConnection, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bus{brief: 8 * time.Second}
				b.noteLost(row.cause)
				time.Sleep(row.away)
				b.noteBack()
				if got := !b.reconnected().IsZero(); got != row.want {
					t.Errorf("the grace begins: %v, want %v", got, row.want)
				}
			})
		})
	}
}
