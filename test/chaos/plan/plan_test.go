package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/test/chaos/plan"
)

func TestASeedMakesOnePlan(t *testing.T) {
	t.Parallel()
	one, same, other := plan.Make(1, plan.Long()), plan.Make(1, plan.Long()), plan.Make(2, plan.Long())
	if diff := cmp.Diff(one, same); diff != "" {
		t.Errorf("the same seed made another plan:\n%s", diff)
	}
	if cmp.Equal(one, other) {
		t.Error("another seed made the same plan")
	}
}

func TestALongRunHasEveryKindOfTaskAndFault(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		tasks, wants, faults := 0, map[string]bool{}, map[string]bool{}
		var last time.Duration
		for _, step := range plan.Make(seed, plan.Long()) {
			if step.At < last {
				t.Fatalf("seed %d: the steps are out of order", seed)
			}
			last = step.At
			if step.Task != nil {
				tasks++
				wants[step.Task.Want] = true
			}
			if step.Fault != nil {
				faults[step.Fault.Kind] = true
			}
		}
		if tasks != 1000 || last > 10*time.Minute {
			t.Errorf("seed %d: %d tasks until %s, want 1000 in ten minutes", seed, tasks, last)
		}
		for _, want := range []string{"ok", "fail", "panic", "destroyed", "invalid", "letter", "once"} {
			if !wants[want] {
				t.Errorf("seed %d: no task is %s", seed, want)
			}
		}
		for _, kind := range slices.Concat(plan.Long().Kinds, []string{plan.Away}) {
			if !faults[kind] {
				t.Errorf("seed %d: no fault is %s", seed, kind)
			}
		}
	}
}
