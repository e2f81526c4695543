//go:build e2e

package nomad_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestRealInfo(t *testing.T) {
	t.Parallel()
	if os.Getenv("NOMAD_TOKEN") != "" {
		t.Skip("NOMAD_TOKEN is set: it may not be allowed to read the version")
	}
	b := newBench(t)
	info, err := b.client.Info(t.Context(), tasks.Cluster{})
	if err != nil || !strings.HasPrefix(info.Version, "1.") || info.Consul {
		t.Errorf("Info: got %+v and %v, want a version 1.x without Consul", info, err)
	}
	if want := []string{"linux/" + runtime.GOARCH}; !slices.Equal(info.Platforms, want) {
		t.Errorf("the nodes are %v, want this machine's %v", info.Platforms, want)
	}
}

func TestRealRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		hcl    string
		reason tasks.Reason
		want   string
	}{
		"syntax":    {`job "x" {`, tasks.ReasonJobRejected, "Failed to parse job"},
		"other id":  {service("other", runs, ""), tasks.ReasonJobRejected, `another id, "other"`},
		"no tasks":  {"job \"x\" {\ngroup \"g\" {}\n}", tasks.ReasonJobRejected, "g"},
		"node pool": {strings.Replace(service("x", runs, ""), `group "web"`, "node_pool = \"nope\"\ngroup \"web\"", 1), tasks.ReasonJobRejected, "nonexistent node pool"},
		"namespace": {strings.Replace(service("x", runs, ""), `group "web"`, "namespace = \"nope\"\ngroup \"web\"", 1), tasks.ReasonJobRejected, `namespace "nope"`},
		"region":    {strings.Replace(service("x", runs, ""), `group "web"`, "region = \"nope\"\ngroup \"web\"", 1), tasks.ReasonJobRejected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := b.client.Register(t.Context(), tasks.Cluster{}, tasks.JobSpec{HCL: []byte(c.hcl), JobID: "x", TaskID: "t"})
			t.Log(err)
			wantFailure(t, err, c.reason, c.want)
		})
	}
	client, err := nomad.New(nomad.Options{Address: b.address, Namespace: "nope"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Register(t.Context(), tasks.Cluster{}, tasks.JobSpec{HCL: []byte(service("x", runs, "")), JobID: "x", TaskID: "t"})
	wantFailure(t, err, tasks.ReasonJobRejected, "nope")
}

func TestRealConcurrentRegisters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "conflict")
	versions := make(chan uint64, 3)
	var group sync.WaitGroup
	for n := range 3 {
		group.Go(func() {
			reg, err := b.client.Register(t.Context(), tasks.Cluster{}, tasks.JobSpec{
				HCL: []byte(service(id, runs, "")), JobID: id, TaskID: fmt.Sprintf("task-%d", n),
			})
			if err != nil {
				t.Errorf("task-%d: %v", n, err)
			}
			versions <- reg.JobVersion
		})
	}
	group.Wait()
	close(versions)
	seen := map[uint64]bool{}
	for version := range versions {
		seen[version] = true
	}
	if len(seen) != 3 {
		t.Errorf("got versions %v, want three different ones", seen)
	}
}

func TestRealDestroyWithChildren(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "parent")
	other := b.id(t, "parent-other")
	if _, _, _, err := b.deploy(t, other, "task-1", service(other, runs, "")); err != nil {
		t.Fatal(err)
	}
	hcl := kind(id, "type = \"batch\"\nparameterized {\npayload = \"optional\"\n}", "exec sleep 600")
	if _, _, _, err := b.deploy(t, id, "task-1", hcl); err != nil {
		t.Fatal(err)
	}
	var allocs []string
	for range 2 {
		child, _, err := b.raw.Jobs().Dispatch(id, nil, []byte("payload"), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		b.waitForRunning(t, child.DispatchedJobID)
		list, _, err := b.raw.Jobs().Allocations(child.DispatchedJobID, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		allocs = append(allocs, list[0].ID)
	}
	rep := &reporter{}
	if err := b.client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: id}, rep); err != nil {
		t.Fatalf("destroy: %v (%v)", err, tasks.AsFailure(err).Err)
	}
	t.Log(rep.stdout())
	for _, alloc := range allocs {
		info, _, err := b.raw.Allocations().Info(alloc, nil)
		if err != nil || !info.ClientTerminalStatus() {
			t.Errorf("allocation %s: got %v and %v, want one that has ended", alloc, info, err)
		}
	}
	left, _, err := b.raw.Jobs().PrefixList(id)
	if err != nil || len(left) != 0 {
		t.Errorf("jobs left: %+v, %v", left, err)
	}
	if _, _, err := b.raw.Jobs().Info(other, nil); err != nil {
		t.Errorf("the other job: %v, want it alive", err)
	}
}

func TestRealDestroyWaitsForTheKill(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "stubborn")
	stubborn := strings.Replace(service(id, "trap '' TERM INT; while true; do sleep 1; done", ""), `kill_timeout = "1s"`, `kill_timeout = "4s"`, 1)
	_, deployed, _, err := b.deploy(t, id, "task-1", stubborn)
	if err != nil {
		t.Fatal(err)
	}
	hasty, err := nomad.New(nomad.Options{Address: b.address, DestroyTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer hasty.Close()
	err = hasty.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: id}, &reporter{})
	wantFailure(t, err, tasks.ReasonDestroyIncomplete, deployed.Allocations[0][:8], "is running")
	if err := b.client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: id}, &reporter{}); err != nil {
		t.Fatal(err)
	}
	info, _, err := b.raw.Allocations().Info(deployed.Allocations[0], nil)
	if err != nil || !info.ClientTerminalStatus() {
		t.Errorf("got %v and %v, want an allocation that has ended", info, err)
	}
}

func TestRealCauseOfTheContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.id(t, "cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	reg, err := b.client.Register(ctx, tasks.Cluster{}, tasks.JobSpec{HCL: []byte(service(id, runs, "")), JobID: id, TaskID: "t"})
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Second, func() { cancel(tasks.ErrCancelled) })
	defer timer.Stop()
	start := time.Now()
	_, err = b.client.Watch(ctx, tasks.Cluster{}, reg, &reporter{})
	if !errors.Is(err, tasks.ErrCancelled) || time.Since(start) > 3*time.Second {
		t.Errorf("got %v after %s, want the cause at once", err, time.Since(start))
	}
}
