package nomad

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Address is the environment's Nomad, without a password.
func (c *Client) Address() string { return redacted(c.env.Address) }

// Namespace is the namespace of the jobs.
func (c *Client) Namespace() string { return c.env.Namespace }

// Agent is what the agent at the environment's address says of itself.
type Agent struct {
	Version string
	// Client is true where the agent runs jobs, and then MaxKillTimeout is the
	// longest that a job's kill_timeout may be on it; 0 where it does not say.
	Client         bool
	MaxKillTimeout time.Duration
}

// Agent reads the agent's version and settings. Its error is a *tasks.Failure:
// nomad_auth where the token lacks agent:read, else nomad_unavailable.
func (c *Client) Agent(ctx context.Context) (Agent, error) {
	s, err := c.open(tasks.Cluster{}, "")
	if err != nil {
		return Agent{}, err
	}
	self, err := get(ctx, s, func(q *api.QueryOptions) (*api.AgentSelf, *api.QueryMeta, error) {
		var self api.AgentSelf
		meta, err := s.api.Raw().Query("/v1/agent/self", &self, q)
		return &self, meta, err
	})
	if err != nil {
		return Agent{}, s.wrap(ctx, "read the agent", err)
	}
	agent := Agent{Version: self.Member.Tags["build"]}
	client, _ := self.Config["Client"].(map[string]any)
	agent.Client, _ = client["Enabled"].(bool)
	if text, _ := client["MaxKillTimeout"].(string); agent.Client {
		agent.MaxKillTimeout, _ = time.ParseDuration(text)
	}
	return agent, nil
}

// Token is who the environment's token is.
type Token struct {
	// Off is true where the cluster has no access control.
	Off      bool
	Name     string
	Type     string
	Policies []string
	// Expires is zero where it does not.
	Expires time.Time
}

// Token asks who the environment's token is. Its error is a *tasks.Failure:
// nomad_auth where the token is not known.
func (c *Client) Token(ctx context.Context) (Token, error) {
	s, err := c.open(tasks.Cluster{}, "")
	if err != nil {
		return Token{}, err
	}
	self, err := get(ctx, s, func(q *api.QueryOptions) (*api.ACLToken, *api.QueryMeta, error) { return s.api.ACLTokens().Self(q) })
	if _, body := answer(err); strings.Contains(body, "ACL support disabled") {
		return Token{Off: true}, nil
	}
	if err != nil {
		if isNotFound(err) {
			return Token{}, s.fail(tasks.ReasonNomadAuth, "it does not know the token", err)
		}
		return Token{}, s.wrap(ctx, "read the token", err)
	}
	token := Token{Name: self.Name, Type: self.Type, Policies: self.Policies, Expires: value(self.ExpirationTime)}
	for _, role := range self.Roles {
		token.Policies = append(token.Policies, "role "+role.Name)
	}
	return token, nil
}

// Right is one thing that a deployment does in the namespace, and why it may not.
type Right struct {
	// Capability is Nomad's name of it.
	Capability string
	// Err is nil where the token may; nomad_auth where it may not.
	Err error
}

// Rights tries what a deployment needs and changes nothing: it lists and reads
// jobs, parses one, and plans it. Reading logs cannot be tried without an
// allocation.
func (c *Client) Rights(ctx context.Context) []Right {
	s, err := c.open(tasks.Cluster{}, "")
	if err != nil {
		return []Right{{Err: err}}
	}
	try := func(capability, what string, do func() error) Right {
		return Right{Capability: capability, Err: s.wrap(ctx, what, do())}
	}
	job := probeJob(s.namespace)
	return []Right{
		try("list-jobs", "list jobs", func() error {
			_, err := get(ctx, s, func(q *api.QueryOptions) ([]*api.JobListStub, *api.QueryMeta, error) {
				q.PerPage = 1
				return s.api.Jobs().List(q)
			})
			return err
		}),
		try("read-job", "read a job", func() error {
			_, err := s.jobInfo(ctx, *job.ID)
			return err
		}),
		try("parse-job", "parse a job", func() error {
			_, err := s.parse(ctx, tasks.JobSpec{JobID: *job.ID, HCL: []byte(probeHCL)})
			return err
		}),
		try("submit-job", "plan a job", func() error {
			_, err := put(ctx, s, func(q *api.WriteOptions) (*api.JobPlanResponse, *api.WriteMeta, error) {
				return s.api.Jobs().Plan(job, false, q)
			})
			return err
		}),
	}
}

// probeID is the job that is planned and never registered.
const probeID = "dispatchd-doctor"

const probeHCL = `job "` + probeID + `" {
  type = "batch"
  group "probe" {
    task "probe" {
      driver = "docker"
      config { image = "dispatchd-doctor" }
    }
  }
}`

func probeJob(namespace string) *api.Job {
	job := api.NewBatchJob(probeID, probeID, "", 50)
	job.Region, job.Namespace = nil, &namespace
	task := api.NewTask("probe", "docker").SetConfig("image", probeID)
	return job.AddTaskGroup(api.NewTaskGroup("probe", 1).AddTask(task))
}

// Node is a machine that runs jobs.
type Node struct {
	Name    string
	Version string
	// Platform is linux/amd64 and the like; empty where the node does not say.
	Platform string
	// Docker says why the Docker driver does not work; empty where it does.
	Docker string
}

// mostNodes is how many nodes are looked at.
const mostNodes = 50

// Nodes reads the ready nodes. Its error is a *tasks.Failure: nomad_auth where
// the token lacks node:read.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	s, err := c.open(tasks.Cluster{}, "")
	if err != nil {
		return nil, err
	}
	list, err := get(ctx, s, s.api.Nodes().List)
	if err != nil {
		return nil, s.wrap(ctx, "read the nodes", err)
	}
	var nodes []Node
	for _, stub := range list {
		if stub.Status != api.NodeStatusReady || len(nodes) == mostNodes {
			continue
		}
		node := Node{Name: stub.Name, Version: stub.Version, Docker: dockerProblem(stub.Drivers["docker"])}
		info, err := get(ctx, s, func(q *api.QueryOptions) (*api.Node, *api.QueryMeta, error) { return s.api.Nodes().Info(stub.ID, q) })
		if err != nil {
			return nil, s.wrap(ctx, "read a node", err)
		}
		if system, arch := info.Attributes["kernel.name"], info.Attributes["cpu.arch"]; system != "" && arch != "" {
			node.Platform = system + "/" + arch
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

func dockerProblem(driver *api.DriverInfo) string {
	switch {
	case driver == nil || !driver.Detected:
		return "not found on the node"
	case !driver.Healthy:
		return fmt.Sprintf("not healthy (%s)", driver.HealthDescription)
	}
	return ""
}
