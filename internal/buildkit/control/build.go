package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/util/grpcerrors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// buildIDHeader names the build whose frontend a call is about.
const buildIDHeader = "buildkit-controlapi-buildid"

// patience is how long one part of a build waits for another that should end
// now: the progress after the solve, the solve after its frontend has failed.
const patience = 5 * time.Second

// Result is what a build returns.
type Result struct {
	// Export are the export's values, by the keys of exptypes.
	Export map[string]string
	// Metadata are the frontend's, the image's config among them.
	Metadata map[string][]byte
}

// running is a build under way.
type running struct {
	*Client

	ref     string
	build   Build
	session *session.Session
	result  Result
}

// Build carries out one build and sends its progress to updates, which it
// closes when it returns. Its error is the daemon's, with the step, the line and
// the exit code as values.
func (c *Client) Build(ctx context.Context, build Build, updates chan<- *Update) (Result, error) {
	defer close(updates)
	// A build that is told to stop still says how it stops.
	trail := context.WithoutCancel(ctx)
	session, err := build.session(trail)
	if err != nil {
		return Result{}, err
	}
	r := &running{Client: c, ref: identity.NewID(), build: build, session: session}
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	solved, end := context.WithCancel(trail)
	defer end()

	group.Go(func() error { return session.Run(trail, grpchijack.Dialer(c.daemon)) })
	group.Go(func() error {
		defer end()
		defer func() { _ = session.Close() }()
		return r.solve(ctx)
	})
	var unreturned error
	group.Go(func() error {
		unreturned = r.frontend(ctx)
		return awaitSolve(solved, stop, unreturned)
	})
	group.Go(func() error { return r.follow(trail, solved, updates) })
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	return r.result, unreturned
}

// solve exports what the frontend returns.
func (r *running) solve(ctx context.Context) error {
	resp, err := r.daemon.Solve(ctx, r.request())
	if err != nil {
		return fmt.Errorf("failed to solve: %w", err)
	}
	r.result.Export = resp.GetExporterResponse()
	return nil
}

// frontend has the daemon run the frontend, and gives its result or its error to
// the solve.
func (r *running) frontend(ctx context.Context) error {
	ctx = metadata.AppendToOutgoingContext(ctx, buildIDHeader, r.ref)
	solved, err := r.gateway.Solve(ctx, &gateway.SolveRequest{
		Frontend: r.build.Frontend, FrontendOpt: r.build.Attrs, AllowResultReturn: true, AllowResultArrayRef: true,
	})
	answer := &gateway.ReturnRequest{Result: solved.GetResult()}
	if err != nil {
		said, _ := status.FromError(grpcerrors.ToGRPC(ctx, err))
		answer.Error = said.Proto()
	}
	r.result.Metadata = solved.GetResult().GetMetadata()
	_, refused := r.gateway.Return(ctx, answer)
	return errors.Join(err, refused)
}

// awaitSolve lets the solve end with the frontend's error, which it words with
// what was asked. It stops one that does not.
func awaitSolve(solved context.Context, stop context.CancelFunc, err error) error {
	if err == nil {
		return nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-solved.Done():
		return nil
	case <-timer.C:
		stop()
		return fmt.Errorf("failed to run the frontend: %w", err)
	}
}

// follow sends the progress until the daemon ends it, or has said nothing for a
// while since the solve.
func (r *running) follow(ctx, solved context.Context, updates chan<- *Update) error {
	ctx, hush := context.WithCancel(ctx)
	defer hush()
	silence := time.AfterFunc(patience, hush)
	silence.Stop() // until the solve has ended
	defer silence.Stop()
	defer context.AfterFunc(solved, func() { silence.Reset(patience) })()

	stream, err := r.daemon.Status(ctx, &controlapi.StatusRequest{Ref: r.ref})
	for err == nil {
		var resp *controlapi.StatusResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		if silence.Stop() {
			silence.Reset(patience)
		}
		updates <- newUpdate(resp)
	}
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("failed to receive the progress: %w", err)
}
