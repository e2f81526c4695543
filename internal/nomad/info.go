package nomad

import (
	"context"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// infoNodes is how many nodes are asked whether they have a Consul.
const infoNodes = 8

// Info reads the version and whether the nodes have a Consul. A token that may
// not read agents or nodes gives an Info with less in it, not an error.
func (c *Client) Info(ctx context.Context, at tasks.Cluster) (tasks.ClusterInfo, error) {
	s, err := c.open(at, "")
	if err != nil {
		return tasks.ClusterInfo{}, err
	}
	var info tasks.ClusterInfo
	if info.Version, err = s.agentVersion(ctx); err != nil {
		return info, s.wrap(ctx, "read the agent", err)
	}
	if err := s.readNodes(ctx, &info); err != nil {
		return info, s.wrap(ctx, "read the nodes", err)
	}
	info.VaultByRole, err = s.vaultByRole(ctx, info.Version)
	return info, s.wrap(ctx, "read the workload identity keys", err)
}

// agentVersion is the version of the agent that answers; empty where the token
// may not read it.
func (s *session) agentVersion(ctx context.Context) (string, error) {
	self, err := get(ctx, s, func(q *api.QueryOptions) (*api.AgentSelf, *api.QueryMeta, error) {
		var self api.AgentSelf
		meta, err := s.api.Raw().Query("/v1/agent/self", &self, q)
		return &self, meta, err
	})
	if isForbidden(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return self.Member.Tags["build"], nil
}

// readNodes fills in what the ready nodes know.
func (s *session) readNodes(ctx context.Context, info *tasks.ClusterInfo) error {
	nodes, err := get(ctx, s, s.api.Nodes().List)
	if isForbidden(err) {
		return nil
	}
	if err != nil {
		return err
	}
	asked := 0
	for _, node := range nodes {
		if node.Status != api.NodeStatusReady || asked == infoNodes {
			continue
		}
		if asked++; info.Version == "" {
			info.Version = node.Version
		}
		if found, err := s.nodeHasConsul(ctx, node.ID); err != nil || found {
			info.Consul = found
			return err
		}
	}
	return nil
}

func (s *session) nodeHasConsul(ctx context.Context, id string) (bool, error) {
	node, err := get(ctx, s, func(q *api.QueryOptions) (*api.Node, *api.QueryMeta, error) { return s.api.Nodes().Info(id, q) })
	if isForbidden(err) || isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return node.Attributes["consul.version"] != "", nil
}

// vaultByRole is true from 1.7 on. Where the version is not to be had, the
// public keys of workload identities tell: they came with the same release and
// need no token.
func (s *session) vaultByRole(ctx context.Context, version string) (bool, error) {
	if major, minor, ok := parseVersion(version); ok {
		return major > 1 || major == 1 && minor >= 7, nil
	}
	_, err := get(ctx, s, func(q *api.QueryOptions) (map[string]any, *api.QueryMeta, error) {
		var keys map[string]any
		meta, err := s.api.Raw().Query("/.well-known/jwks.json", &keys, q)
		return keys, meta, err
	})
	if isNotFound(err) || isForbidden(err) {
		return false, nil
	}
	return err == nil, err
}

func parseVersion(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, errMajor := strconv.Atoi(strings.TrimPrefix(parts[0], "v"))
	minor, errMinor := strconv.Atoi(parts[1])
	return major, minor, errMajor == nil && errMinor == nil
}
