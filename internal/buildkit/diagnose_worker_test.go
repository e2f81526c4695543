package buildkit

import (
	"testing"
	"time"

	"github.com/moby/buildkit/client"
)

// TestAReservedSpaceIsNoCap looks from inside: a daemon's rules are its own
// configuration, and a test has but one daemon.
func TestAReservedSpaceIsNoCap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules []client.PruneInfo
		want  bool
	}{
		"no rules":                      {nil, false},
		"a floor":                       {[]client.PruneInfo{{All: true, ReservedSpace: 10 << 30}}, false},
		"a most":                        {[]client.PruneInfo{{ReservedSpace: 1 << 30}, {All: true, MaxUsedSpace: 10 << 30}}, true},
		"a least that stays free":       {[]client.PruneInfo{{All: true, MinFreeSpace: 10 << 30}}, true},
		"a most for one kind of record": {[]client.PruneInfo{{Filter: []string{"type==source.local"}, MaxUsedSpace: 1 << 30}}, false},
		"a most for what is old alone":  {[]client.PruneInfo{{All: true, KeepDuration: time.Hour, MaxUsedSpace: 1 << 30}}, false},
	} {
		if got := newWorker(&client.WorkerInfo{GCPolicy: c.rules}).Capped; got != c.want {
			t.Errorf("%s: capped %v, want %v", name, got, c.want)
		}
	}
}
