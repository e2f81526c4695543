package nomad

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// infoNodes is how many nodes are asked what they are.
const infoNodes = 8

// Info reads the version, whether the nodes have a Consul and what machines they are. A token that may
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

// readNodes fills in what the nodes know that can take work. The platforms are
// all of theirs or none: half of them would call a good image a bad one.
func (s *session) readNodes(ctx context.Context, info *tasks.ClusterInfo) error {
	nodes, err := get(ctx, s, s.api.Nodes().List)
	if isForbidden(err) {
		return nil
	}
	if err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n *api.NodeListStub) bool {
		return n.Status != api.NodeStatusReady || n.SchedulingEligibility == api.NodeSchedulingIneligible
	})
	known := len(nodes) <= infoNodes
	for _, stub := range nodes[:min(len(nodes), infoNodes)] {
		info.Version = cmp.Or(info.Version, stub.Version)
		attributes, err := s.nodeAttributes(ctx, stub.ID)
		if err != nil {
			return err
		}
		info.Consul = info.Consul || attributes["consul.version"] != ""
		platform := tasks.PlatformName(attributes["kernel.name"], attributes["cpu.arch"], "")
		known = known && platform != ""
		info.Platforms = append(info.Platforms, platform)
	}
	if info.Platforms = tasks.SortPlatforms(info.Platforms); !known {
		info.Platforms = nil
	}
	return nil
}

// nodeAttributes are what a node found out about itself; none where it may not
// be read or has gone.
func (s *session) nodeAttributes(ctx context.Context, id string) (map[string]string, error) {
	node, err := get(ctx, s, func(q *api.QueryOptions) (*api.Node, *api.QueryMeta, error) { return s.api.Nodes().Info(id, q) })
	if isForbidden(err) || isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return node.Attributes, nil
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
