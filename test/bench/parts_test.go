//go:build e2e

package bench_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// partsSlots is how many tasks run at once while parts are left out.
const partsSlots = 10

// BenchmarkParts leaves out one part of the promise after the other. The parts
// are the real ones; each is left out from outside, at the worker's ports.
func BenchmarkParts(b *testing.B) {
	server, dir := startServer(b), memoryDir(b)
	var all []func(*parts)
	build := func(name string, unfenced bool, change func(*parts)) contender {
		p := newPlatform(b, server, name)
		if unfenced {
			p.unfence(b)
		}
		return contender{"without " + name, (&whole{platform: p, dir: dir, change: change}).run}
	}
	contenders := []contender{{"everything", (&whole{platform: newPlatform(b, server, "everything"), dir: dir}).run}}
	for _, part := range []struct {
		name   string
		change func(*parts)
	}{
		{"claim", withoutClaim},
		{"started", withoutStarted},
		{"terminal", withoutTerminal},
		{"lease", withoutLease},
	} {
		all = append(all, part.change)
		contenders = append(contenders, build(part.name, false, part.change))
	}
	contenders = append(contenders, build("lane", true, nil), build("all", true, func(p *parts) {
		for _, change := range all {
			change(p)
		}
	}))
	took := takeTurns(b, contenders, partsSlots)
	for i, c := range contenders {
		results.note("parts: "+c.name, "%s; %s of the speed with everything", took.show(i), spread(took.ratios(i, 0)))
	}
}

// withoutClaim keeps the run records in memory.
func withoutClaim(p *parts) { p.runs = queue.NewUnrecorded("bench") }

// withoutStarted makes runs of which IN_PROGRESS has been said already.
func withoutStarted(p *parts) { p.runs = announced{p.runs} }

type announced struct{ worker.Runs }

func (r announced) Claim(ctx context.Context, request worker.ClaimRequest) (worker.Claim, error) {
	request.New.Announced = true
	return r.Runs.Claim(ctx, request)
}

// withoutTerminal neither reads nor writes terminal records.
func withoutTerminal(p *parts) { p.publisher = unending{p.publisher} }

type unending struct{ worker.Publisher }

func (unending) Ended(context.Context, string) (*worker.Settlement, error) { return nil, nil }

func (unending) End(_ context.Context, s worker.Settlement) (worker.Settlement, error) { return s, nil }

// withoutLease makes it every task's turn.
func withoutLease(p *parts) { p.queue = unordered{p.queue} }

type unordered struct{ worker.Queue }

func (q unordered) Fetch(ctx context.Context) (worker.Delivery, error) {
	d, err := q.Queue.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return unleased{d}, nil
}

type unleased struct{ worker.Delivery }

func (unleased) Turn(context.Context, worker.Holder) (worker.Lease, error) { return noLease{}, nil }

type noLease struct{}

func (noLease) Renew(context.Context) error   { return nil }
func (noLease) Retake(context.Context) error  { return nil }
func (noLease) Fence() uint64                 { return 0 }
func (noLease) Valid() bool                   { return true }
func (noLease) Release(context.Context) error { return nil }

// unfence lets the backend's streams transform their subjects, into the same
// ones: then no event is published through a lane, and Nats-Msg-Id is all.
func (p *platform) unfence(b *testing.B) {
	b.Helper()
	ctx := brief(b)
	for name, subjects := range map[string]string{"DEPLOYMENTS": "deployment.>", "BUILD_LOGS": "build.log.>"} {
		stream, err := p.js.Stream(ctx, p.topology.Prefix+"_"+name)
		must(b, err)
		config := stream.CachedInfo().Config
		config.SubjectTransform = &jetstream.SubjectTransformConfig{Source: p.subject(subjects), Destination: p.subject(subjects)}
		_, err = p.js.UpdateStream(ctx, config)
		must(b, err)
	}
}
