package natsconn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// Connect connects and returns when a server has accepted us. Servers that do
// not answer are tried again until ConnectTimeout; a refusal (authorization,
// TLS) is returned at once. A last attempt that hangs may take up to two
// seconds a server longer. The caller closes the connection.
func Connect(ctx context.Context, o Options) (*nats.Conn, error) {
	nc, err := connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("failed to initialize NATS: %w", err)
	}
	return nc, nil
}

func connect(ctx context.Context, o Options) (*nats.Conn, error) {
	urls, hosts, err := o.servers()
	if err != nil {
		return nil, err
	}
	timeout := o.ConnectTimeout
	if timeout <= 0 {
		timeout = defaultConnectTimeout
	}
	opts, err := o.natsOptions(timeout)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w within %s", ErrUnreachable, timeout))
	defer cancel()
	for try := 1; ; try++ {
		nc, err := nats.Connect(urls, opts...)
		if err == nil {
			return nc, nil
		}
		if err = refusal(err); isFinal(err) {
			return nil, fmt.Errorf("%w (%s)", err, hosts)
		}
		if waitErr := wait(ctx, delay(try)); waitErr != nil {
			return nil, fmt.Errorf("%w (%s): %w", waitErr, hosts, err)
		}
	}
}

// wait returns the context's cause where it ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// delay is how long to wait before the n-th try: 100 to 250 ms at first, then
// longer, at most 2 s. Many workers lose a server at the same moment, so it is
// random.
func delay(n int) time.Duration {
	base := 100 * time.Millisecond << min(max(n-1, 0), 5)
	return min(base+rand.N(base*3/2), 2*time.Second-rand.N(500*time.Millisecond))
}

// isFinal reports whether trying again would only be refused again.
func isFinal(err error) bool {
	return errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrTLS)
}
