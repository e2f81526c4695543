package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Cluster is the environment's Nomad: *nomad.Client, or a double in tests.
type Cluster interface {
	Address() string
	Namespace() string
	Agent(ctx context.Context) (nomad.Agent, error)
	Token(ctx context.Context) (nomad.Token, error)
	Rights(ctx context.Context) []nomad.Right
	Nodes(ctx context.Context) ([]nomad.Node, error)
}

// Nomad looks at the environment's Nomad.
type Nomad struct {
	Cluster Cluster
	// Drain is how long a worker needs from SIGTERM to its end.
	Drain time.Duration
}

// Check asks for the agent, the token, its rights and the nodes.
func (n Nomad) Check(ctx context.Context) []Result {
	tried := "reach Nomad at " + n.Cluster.Address()
	agent, err := n.Cluster.Agent(ctx)
	denied := reasonIs(err, tasks.ReasonNomadAuth)
	if err != nil && !denied {
		return []Result{bad(Fail, tried, err.Error(), remedy{"NOMAD_ADDR", "start Nomad, or correct the address; behind TLS see NOMAD_CACERT too"})}
	}
	results := []Result{n.token(ctx)}
	if results[0].Status == Fail {
		return append([]Result{good(tried, "it answers")}, results...)
	}
	nodes, nodesErr := n.Cluster.Nodes(ctx)
	results = append(results, n.rights(ctx)...)
	results = append(results, n.nodes(nodes, nodesErr)...)
	results = append(results, n.killTimeout(agent, denied))
	return append([]Result{n.version(tried, agent, nodes)}, results...)
}

func reasonIs(err error, reason tasks.Reason) bool {
	var failure *tasks.Failure
	return errors.As(err, &failure) && failure.Reason == reason
}

// version judges the agent's version, or a node's where the token may not read agents.
func (n Nomad) version(tried string, agent nomad.Agent, nodes []nomad.Node) Result {
	text := agent.Version
	if text == "" && len(nodes) > 0 {
		text = nodes[0].Version
	}
	v, ok := parseVersion(text)
	switch {
	case !ok:
		return good(tried, "it answers; its version cannot be read with this token (agent:read or node:read)")
	case nomadFloor.met(v):
		return good(tried, "version %s", v)
	}
	found := fmt.Sprintf("version %s is below the releases that close known holes (%s)", v, nomadFloor)
	if v.less(version{1, 7, 0}) {
		found += "; it also has no workload identities, so jobs read Vault by policies"
	}
	return bad(Warn, tried, found, remedy{"NOMAD_ADDR", "upgrade Nomad; dispatchd works with 1.6 and newer"})
}

func (n Nomad) token(ctx context.Context) Result {
	const tried = "ask Nomad who the token is"
	token, err := n.Cluster.Token(ctx)
	switch {
	case err != nil:
		return bad(Fail, tried, err.Error(), remedy{"NOMAD_TOKEN", "set a token that the cluster knows"})
	case token.Off:
		return bad(Warn, tried, "the cluster has no access control: anybody who reaches it may run anything", remedy{"acl in Nomad's configuration", "enable it"})
	case token.Type == "management":
		return bad(Warn, tried, "it is a management token, which may do everything", remedy{"NOMAD_TOKEN", "use a token with the policy of the worker alone"})
	case !token.Expires.IsZero() && time.Until(token.Expires) < 24*time.Hour:
		return bad(Warn, tried, "it expires at "+token.Expires.UTC().Format(time.RFC3339), remedy{"NOMAD_TOKEN", "renew it"})
	}
	return good(tried, "%q with %s", token.Name, orDefault(strings.Join(token.Policies, ", "), "no policies"))
}

// rights tells each right that is missing, or that all are there.
func (n Nomad) rights(ctx context.Context) []Result {
	namespace := n.Cluster.Namespace()
	tried := "try the rights in the namespace " + namespace
	var results []Result
	var held []string
	for _, right := range n.Cluster.Rights(ctx) {
		switch {
		case right.Err == nil:
			held = append(held, right.Capability)
		case reasonIs(right.Err, tasks.ReasonNomadAuth):
			results = append(results, bad(Fail, tried, "the token lacks "+right.Capability,
				remedy{"NOMAD_TOKEN", fmt.Sprintf("give its policy the capability %s in the namespace %s", right.Capability, namespace)}))
		case reasonIs(right.Err, tasks.ReasonJobRejected):
			results = append(results, bad(Fail, tried, right.Err.Error(), remedy{"NOMAD_NAMESPACE", "create the namespace, or name another"}))
		default:
			results = append(results, bad(Fail, tried, right.Err.Error(), remedy{"NOMAD_ADDR", "see why Nomad is not well"}))
		}
	}
	if results == nil {
		results = []Result{good(tried, "%s; read-logs cannot be tried without an allocation", strings.Join(held, ", "))}
	}
	return results
}

func (n Nomad) nodes(nodes []nomad.Node, err error) []Result {
	const tried = "look at Nomad's nodes"
	switch {
	case err != nil:
		return []Result{bad(Warn, tried, err.Error(), remedy{"NOMAD_TOKEN", `give its policy node { policy = "read" }: platforms are checked with it`})}
	case len(nodes) == 0:
		return []Result{bad(Fail, tried, "none is ready", remedy{"NOMAD_ADDR", "start a client, or see why the nodes are not ready"})}
	}
	var platforms, broken []string
	for _, node := range nodes {
		if !slices.Contains(platforms, node.Platform) {
			platforms = append(platforms, node.Platform)
		}
		if node.Docker != "" {
			broken = append(broken, node.Name+" "+node.Docker)
		}
	}
	found := fmt.Sprintf("%d ready, %s", len(nodes), strings.Join(platforms, " and "))
	if len(broken) == 0 {
		return []Result{good(tried, "%s, the Docker driver is healthy", found)}
	}
	status := Warn
	if len(broken) == len(nodes) {
		status = Fail
	}
	return []Result{bad(status, tried, fmt.Sprintf("%s; the Docker driver is not well on %d: %s", found, len(broken), strings.Join(broken[:min(3, len(broken))], ", ")),
		remedy{"Docker on the nodes", "start the daemon there, and let Nomad's client reach its socket"})}
}

// nomadsDefault is what a client caps kill_timeout at where nobody has set it.
const nomadsDefault = 30 * time.Second

// killTimeout compares the drain with what Nomad leaves to a worker.
func (n Nomad) killTimeout(agent nomad.Agent, denied bool) Result {
	tried := fmt.Sprintf("compare the drain (%s in all) with Nomad's max_kill_timeout", n.Drain)
	to := remedy{"DISPATCHD_DRAIN_TIMEOUT", fmt.Sprintf("lower it, or set max_kill_timeout = %q in the client block of the nodes that run workers", n.Drain)}
	limit := agent.MaxKillTimeout
	if limit > 0 {
		if n.Drain > limit {
			return bad(Warn, tried, fmt.Sprintf("the client kills after %s", limit), to)
		}
		return good(tried, "the client leaves %s", limit)
	}
	why := "the agent runs no jobs; ask one that does"
	if denied {
		why = "the token lacks agent:read"
	}
	if n.Drain > nomadsDefault {
		return bad(Warn, tried, fmt.Sprintf("it cannot be read (%s), and Nomad's default is %s", why, nomadsDefault), to)
	}
	return good(tried, "it cannot be read (%s); Nomad's default of %s is enough", why, nomadsDefault)
}
