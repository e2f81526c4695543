package buildkit

import (
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
)

// TestAReservedSpaceIsNoCap looks from inside: a daemon's rules are its own
// configuration, and a test has but one daemon.
func TestAReservedSpaceIsNoCap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules []*control.Rule
		want  bool
	}{
		"no rules":                      {nil, false},
		"a floor":                       {[]*control.Rule{{All: true, ReservedSpace: 10 << 30}}, false},
		"a most":                        {[]*control.Rule{{ReservedSpace: 1 << 30}, {All: true, MaxUsedSpace: 10 << 30}}, true},
		"a least that stays free":       {[]*control.Rule{{All: true, MinFreeSpace: 10 << 30}}, true},
		"a most for one kind of record": {[]*control.Rule{{Filters: []string{"type==source.local"}, MaxUsedSpace: 1 << 30}}, false},
		"a most for what is old alone":  {[]*control.Rule{{All: true, KeepDuration: int64(time.Hour), MaxUsedSpace: 1 << 30}}, false},
	} {
		if got := newWorker(&control.Worker{GCPolicy: c.rules}).Capped; got != c.want {
			t.Errorf("%s: capped %v, want %v", name, got, c.want)
		}
	}
}
