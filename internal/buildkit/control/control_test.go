package control_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is a buildkitd of one build. Its solve waits for what the frontend
// returns, as the real one's does, and its progress ends with the solve.
type daemon struct {
	controlapi.UnimplementedControlServer
	gateway.UnimplementedLLBBridgeServer

	// refuse is what the frontend fails with; nil where it does not.
	refuse error
	// hang keeps the frontend from answering.
	hang bool

	returned chan *gateway.ReturnRequest
	solved   chan struct{}

	mu    sync.Mutex
	solve *controlapi.SolveRequest
	asked *gateway.SolveRequest
}

// start serves the daemon until the test ends.
func (d *daemon) start(t *testing.T) *control.Client {
	t.Helper()
	d.returned, d.solved = make(chan *gateway.ReturnRequest, 1), make(chan struct{})
	server := grpc.NewServer(grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor))
	controlapi.RegisterControlServer(server, d)
	gateway.RegisterLLBBridgeServer(server, gatewayOf{d})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	client, err := control.Dial("tcp://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); server.Stop(); serving.Wait() })
	return client
}

func (d *daemon) Solve(ctx context.Context, req *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	defer close(d.solved)
	d.mu.Lock()
	d.solve = req
	d.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case answer := <-d.returned:
		if answer.GetError() != nil {
			return nil, grpcerrors.FromGRPC(status.ErrorProto(answer.GetError()))
		}
		return &controlapi.SolveResponse{ExporterResponse: map[string]string{"digest": "sha256:1"}}, nil
	}
}

func (d *daemon) Status(_ *controlapi.StatusRequest, stream grpc.ServerStreamingServer[controlapi.StatusResponse]) error {
	for _, name := range []string{"first", "last"} {
		if name == "last" {
			select {
			case <-d.solved:
			case <-stream.Context().Done():
				return nil
			}
		}
		update := &controlapi.StatusResponse{Vertexes: []*controlapi.Vertex{{Digest: name, Name: name}}}
		if err := stream.Send(update); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemon) Session(stream grpc.BidiStreamingServer[controlapi.BytesMessage, controlapi.BytesMessage]) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return nil // the client has closed the session
		}
	}
}

// gatewayOf is the daemon's other service: both have a method Solve.
type gatewayOf struct{ *daemon }

func (g gatewayOf) Solve(ctx context.Context, req *gateway.SolveRequest) (*gateway.SolveResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	if len(headers.Get("buildkit-controlapi-buildid")) != 1 {
		return nil, status.Error(codes.InvalidArgument, "a call for no build")
	}
	g.mu.Lock()
	g.asked = req
	g.mu.Unlock()
	if g.hang {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &gateway.SolveResponse{Result: &gateway.Result{Metadata: map[string][]byte{"config": []byte("{}")}}}, g.refuse
}

func (g gatewayOf) Return(_ context.Context, req *gateway.ReturnRequest) (*gateway.ReturnResponse, error) {
	g.returned <- req
	return &gateway.ReturnResponse{}, nil
}

// build carries out one build and returns the names in its progress.
func build(ctx context.Context, c *control.Client, about control.Build) (control.Result, string, error) {
	updates := make(chan *control.Update)
	var names []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for update := range updates {
			for _, v := range update.Vertexes {
				names = append(names, v.Name)
			}
		}
	})
	result, err := c.Build(ctx, about, updates)
	reading.Wait()
	return result, strings.Join(names, " "), err
}

func TestBuildReturnsExportAndMetadata(t *testing.T) {
	t.Parallel()
	d := &daemon{}
	about := control.Build{
		Frontend: "dockerfile.v0", Attrs: map[string]string{"filename": "Dockerfile"},
		Exports: []control.Export{{Type: "image", Attrs: map[string]string{"push": "true"}}},
	}
	result, progress, err := build(t.Context(), d.start(t), about)
	if err != nil || result.Export["digest"] != "sha256:1" || string(result.Metadata["config"]) != "{}" {
		t.Errorf("got %v, %v", result, err)
	}
	if progress != "first last" {
		t.Errorf("progress %q: what was said after the solve belongs to it", progress)
	}
	if d.solve.GetFrontend() != "" || d.solve.GetSession() == "" || d.solve.GetExporters()[0].GetType() != "image" {
		t.Errorf("the solve was asked %v", d.solve)
	}
	if d.asked.GetFrontend() != "dockerfile.v0" || d.asked.GetFrontendOpt()["filename"] != "Dockerfile" {
		t.Errorf("the frontend was asked %v", d.asked)
	}
}

func TestBuildFailsWithTheFrontendsError(t *testing.T) {
	t.Parallel()
	for range 20 { // the parts of a build end in any order
		d := &daemon{refuse: status.Error(codes.InvalidArgument, "no such stage")}
		_, progress, err := build(t.Context(), d.start(t), control.Build{Frontend: "dockerfile.v0"})
		if err == nil || !strings.HasPrefix(err.Error(), "failed to solve: ") || grpcerrors.Code(err) != codes.InvalidArgument {
			t.Fatalf("got %v", err)
		}
		if progress != "first last" {
			t.Errorf("progress %q", progress)
		}
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	t.Parallel()
	d := &daemon{hang: true}
	ctx, cancel := context.WithCancel(t.Context())
	updates := make(chan *control.Update)
	var reading sync.WaitGroup
	reading.Go(func() {
		for range updates {
			cancel() // the build has begun
		}
	})
	_, err := d.start(t).Build(ctx, control.Build{}, updates)
	reading.Wait()
	if grpcerrors.Code(err) != codes.Canceled && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
}
