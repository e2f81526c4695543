package nomad

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Endpoints lists where the ports of allocations can be reached, by port. An
// allocation that has gone, or that the token may not read, has none.
func (c *Client) Endpoints(ctx context.Context, at tasks.Cluster, allocations []string) ([]tasks.Endpoint, error) {
	s, err := c.open(at, "")
	if err != nil {
		return nil, err
	}
	var all []tasks.Endpoint
	for _, id := range allocations {
		alloc, err := get(ctx, s, func(q *api.QueryOptions) (*api.Allocation, *api.QueryMeta, error) {
			return s.api.Allocations().Info(id, q)
		})
		if isForbidden(err) || isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, s.wrap(ctx, "read the allocation", err)
		}
		all = append(all, endpoints(alloc)...)
	}
	slices.SortStableFunc(all, func(a, b tasks.Endpoint) int { return cmp.Compare(a.Port, b.Port) })
	return all, nil
}

// endpoints are the ports of one allocation; a port that is not mapped is the
// same inside and outside.
func endpoints(alloc *api.Allocation) []tasks.Endpoint {
	if alloc.AllocatedResources == nil {
		return nil
	}
	var all []tasks.Endpoint
	for _, port := range alloc.AllocatedResources.Shared.Ports {
		all = append(all, tasks.Endpoint{
			Port: cmp.Or(port.To, port.Value), Address: net.JoinHostPort(port.HostIP, strconv.Itoa(port.Value)),
		})
	}
	return all
}
