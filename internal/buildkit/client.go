package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// DefaultAddress is where a buildkitd listens that nobody has configured.
const DefaultAddress = "unix:///run/buildkit/buildkitd.sock"

// Options says where the daemon is and how it is used.
type Options struct {
	// Address is unix:///path or tcp://host:port; empty is DefaultAddress.
	Address string
	// InsecureRegistries are hosts, with their port, that are pushed to without
	// TLS. A registry on the daemon's own machine needs no entry.
	InsecureRegistries []string
	// Planner plans the builds of nixpacks and railpack; nil where there are none.
	Planner tasks.BuildPlanner
	// DockerHost is the Docker daemon (unix:///path or tcp://host:port) that
	// takes what is built and not pushed; empty leaves it in the builder's cache.
	DockerHost string
	// AnswerTimeout is how long the daemon may take to say that it is there; 8 s
	// where it is 0.
	AnswerTimeout time.Duration
	// WatchEvery is how often a running build asks whether the daemon is still
	// there; 10 s where it is 0.
	WatchEvery time.Duration
}

// Client makes images with one buildkitd. It is safe for concurrent use and
// holds no connection between builds.
type Client struct {
	options  Options
	insecure insecureHosts
	docker   *dockerDaemon
}

var _ tasks.Builder = (*Client)(nil)

// New checks the options. It does not connect.
func New(options Options) (*Client, error) {
	if options.Address == "" {
		options.Address = DefaultAddress
	}
	address, err := url.Parse(options.Address)
	if err != nil || (address.Scheme != "unix" && address.Scheme != "tcp") {
		return nil, fmt.Errorf("buildkit address %q is neither unix:///path nor tcp://host:port", options.Address)
	}
	if options.AnswerTimeout <= 0 {
		options.AnswerTimeout = 8 * time.Second
	}
	if options.WatchEvery <= 0 {
		options.WatchEvery = 10 * time.Second
	}
	c := &Client{options: options, insecure: options.InsecureRegistries}
	if options.DockerHost != "" {
		c.docker = newDockerDaemon(options.DockerHost)
	}
	return c, nil
}

// Ping asks the daemon whether it is there. Its error is a
// *tasks.Failure with reason builder_unavailable.
func (c *Client) Ping(ctx context.Context) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return c.ask(ctx, conn)
}

// dial makes a connection that connects when it is used.
func (c *Client) dial() (*control.Client, error) {
	conn, err := control.Dial(c.options.Address)
	if err != nil {
		return nil, c.down("cannot be reached", err)
	}
	return conn, nil
}

// ask requires an answer within the answer timeout: a daemon that accepts the
// connection and says nothing would hold a build up to the task's deadline.
func (c *Client) ask(ctx context.Context, conn *control.Client) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.AnswerTimeout)
	defer cancel()
	_, err := conn.Version(ctx)
	switch {
	case err == nil:
		return nil
	case grpcerrors.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		return c.down(fmt.Sprintf("did not answer within %s", c.options.AnswerTimeout), err)
	default:
		return c.down("cannot be reached", err)
	}
}

func (c *Client) down(how string, err error) error {
	message := fmt.Sprintf("the builder at %s %s", c.options.Address, how)
	return tasks.Fail(tasks.ReasonBuilderDown, message, err)
}
