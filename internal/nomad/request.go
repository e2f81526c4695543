package nomad

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/nomad/api"
)

// get runs one query that does not block, under the request's own time-out.
func get[T any](ctx context.Context, s *session, query func(q *api.QueryOptions) (T, *api.QueryMeta, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.RequestTimeout)
	defer cancel()
	result, _, err := query(s.query().WithContext(ctx))
	return result, err
}

// block runs one blocking query; the server may hold it for the wait time and
// a sixteenth of it.
func block[T any](ctx context.Context, s *session, index uint64, query func(q *api.QueryOptions) (T, *api.QueryMeta, error)) (T, uint64, error) {
	q := s.query()
	limit := s.opts.RequestTimeout
	if index > 0 {
		q.WaitIndex, q.WaitTime = index, s.opts.WaitTime
		limit += s.opts.WaitTime + s.opts.WaitTime/16
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, meta, err := query(q.WithContext(ctx))
	if err != nil {
		return result, 0, err
	}
	return result, nextIndex(index, meta.LastIndex), nil
}

// nextIndex is what the next blocking query waits for. Index 0 would not
// block, and an index that went backwards is that of a server restored or
// started anew: read once more without waiting.
func nextIndex(last, answered uint64) uint64 {
	if answered < last {
		return 0
	}
	return max(1, answered)
}

// put runs one write under the request's own time-out.
func put[T any](ctx context.Context, s *session, write func(q *api.WriteOptions) (T, *api.WriteMeta, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.RequestTimeout)
	defer cancel()
	options := &api.WriteOptions{Namespace: s.namespace, Region: s.region}
	result, _, err := write(options.WithContext(ctx))
	return result, err
}

func (s *session) query() *api.QueryOptions {
	return &api.QueryOptions{Namespace: s.namespace, Region: s.region}
}

// jobInfo reads a job; a job that does not exist is nil.
func (s *session) jobInfo(ctx context.Context, id string) (*api.Job, error) {
	job, err := get(ctx, s, func(q *api.QueryOptions) (*api.Job, *api.QueryMeta, error) { return s.api.Jobs().Info(id, q) })
	if isNotFound(err) {
		return nil, nil
	}
	if err == nil && job.ID == nil {
		return nil, errNotAJob
	}
	return job, err
}

// pause waits, or returns false when the context ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// jitter spreads a delay over its second half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// value reads what Nomad leaves out.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
