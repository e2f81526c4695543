package buildkit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// hangUpAfter is how long a build that was told to stop may take before its
// connection is cut.
const hangUpAfter = time.Second

// Build makes the image that the request asks for and pushes it where it says
// so. Its failures and its log show none of the request's secrets.
func (c *Client) Build(ctx context.Context, req tasks.BuildRequest, rep tasks.Reporter) (tasks.Image, error) {
	shy := newDiscreet(rep, req)
	defer shy.flush()
	image, err := c.build(ctx, req, shy)
	if err != nil && ctx.Err() != nil {
		return tasks.Image{}, context.Cause(ctx)
	}
	return image, shy.hide(err)
}

func (c *Client) build(ctx context.Context, req tasks.BuildRequest, rep *discreet) (tasks.Image, error) {
	ref, err := parseImage(req.Name, req.Tag)
	if err != nil {
		return tasks.Image{}, err
	}
	if ref.digest != "" {
		message := fmt.Sprintf("image %q names a digest, and what is built gets its own", req.Name)
		return tasks.Image{}, tasks.Fail(tasks.ReasonImageInvalid, message, nil)
	}
	req = sift(req, rep.Stderr())
	source, from, err := c.openBuild(ctx, req, rep)
	if err != nil {
		return tasks.Image{}, err
	}
	defer source.close()
	defer from.close()
	plan, err := c.plan(req, ref, inputs{source: source, planned: from})
	if err != nil {
		return tasks.Image{}, err
	}
	plan.announce(rep)
	return c.run(ctx, plan, rep)
}

// run carries out one solve on a connection of its own.
func (c *Client) run(ctx context.Context, plan *solvePlan, rep *discreet) (tasks.Image, error) {
	conn, err := c.dial()
	if err != nil {
		return tasks.Image{}, err
	}
	defer func() { _ = conn.Close() }()
	if err := c.ask(ctx, conn); err != nil {
		return tasks.Image{}, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	done := make(chan struct{})
	defer close(done)
	watching.Go(func() { c.watch(ctx, conn, done, stop) })

	printer := newPrinter(rep, plan.push)
	printer.hide = rep.redactor.String
	var response control.Result
	err = plan.load.while(ctx, func() (err error) {
		response, err = solve(ctx, conn, plan, printer)
		return err
	})
	if err != nil {
		return tasks.Image{}, c.explain(ctx, err, plan, printer)
	}
	image, err := plan.image(response)
	if err != nil {
		return tasks.Image{}, err
	}
	return plan.load.name(ctx, image, response)
}

// solve runs the frontend and the export, and returns when the last line of
// progress has been printed.
func solve(ctx context.Context, conn *control.Client, plan *solvePlan, printer *printer) (control.Result, error) {
	updates := make(chan *control.Update)
	var printing sync.WaitGroup
	printing.Go(func() { printer.consume(updates) })
	defer printing.Wait()

	return conn.Build(ctx, plan.build, updates)
}

// watch ends a build whose daemon has stopped answering, and cuts the
// connection of one that was told to stop and does not.
func (c *Client) watch(ctx context.Context, conn *control.Client, done <-chan struct{}, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(c.options.WatchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			hangUp(conn, done)
			return
		case <-ticker.C:
			if err := c.ask(ctx, conn); err != nil && ctx.Err() == nil {
				stop(err)
			}
		}
	}
}

func hangUp(conn *control.Client, done <-chan struct{}) {
	timer := time.NewTimer(hangUpAfter)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		_ = conn.Close()
	}
}

// explain makes the failure of a solve's error.
func (c *Client) explain(ctx context.Context, err error, plan *solvePlan, printer *printer) error {
	var known *tasks.Failure
	if cause := context.Cause(ctx); errors.As(cause, &known) {
		return cause
	}
	// What the Docker daemon said of the image is a failure already.
	if errors.As(err, &known) {
		return err
	}
	if isConnectionLost(err) {
		return c.down("went away during the build", err)
	}
	return classifyBuild(err, buildFacts{ref: plan.ref, creds: plan.creds, printer: printer})
}
