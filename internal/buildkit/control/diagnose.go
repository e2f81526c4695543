package control

import (
	"context"

	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
)

// Worker is one of the daemon's workers as it describes it.
type Worker = types.WorkerRecord

// Rule is one of a worker's rules for its cache.
type Rule = types.GCPolicy

// Workers lists the daemon's workers.
func (c *Client) Workers(ctx context.Context) ([]*Worker, error) {
	list, err := c.daemon.ListWorkers(ctx, &controlapi.ListWorkersRequest{})
	return list.GetRecord(), err
}

// CacheBytes counts what the daemon's build cache takes.
func (c *Client) CacheBytes(ctx context.Context) (int64, error) {
	usage, err := c.daemon.DiskUsage(ctx, &controlapi.DiskUsageRequest{})
	var bytes int64
	for _, record := range usage.GetRecord() {
		bytes += record.GetSize()
	}
	return bytes, err
}
