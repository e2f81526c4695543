package control

import (
	"context"
	"fmt"
	"net/url"

	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// messageBytes is the most that one message may take, in both directions; it is
// the daemon's own limit.
const messageBytes = 16 << 20

// Client is one connection to a daemon. It is safe for concurrent use.
type Client struct {
	conn    *grpc.ClientConn
	daemon  controlapi.ControlClient
	gateway gateway.LLBBridgeClient
}

// Dial returns a client of the daemon at unix:///path or tcp://host:port. It
// connects when it is first used; the caller closes it.
func Dial(address string) (*Client, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("read the builder's address: %w", err)
	}
	if target.Scheme == "tcp" {
		// The name is looked up by the dialer, which tries all its addresses.
		address = "passthrough:///" + target.Host
	}
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytes), grpc.MaxCallSendMsgSize(messageBytes)),
		// These make the daemon's errors out of the answers: the step, the line,
		// the exit code.
		grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor),
		grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor),
	)
	if err != nil {
		return nil, fmt.Errorf("dial the builder: %w", err)
	}
	return &Client{conn: conn, daemon: controlapi.NewControlClient(conn), gateway: gateway.NewLLBBridgeClient(conn)}, nil
}

// Close ends the connection and everything that is under way on it.
func (c *Client) Close() error { return c.conn.Close() }

// Version asks for the daemon's version; empty where it does not say.
func (c *Client) Version(ctx context.Context) (string, error) {
	info, err := c.daemon.Info(ctx, &controlapi.InfoRequest{})
	return info.GetBuildkitVersion().GetVersion(), err
}
