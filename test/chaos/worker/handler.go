package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// handler does what the real one does at its edges: it asks the guard before
// each side effect, keeps what it has reached, and goes on from there. The side
// effects themselves are messages.
type handler struct {
	js     jetstream.JetStream
	worker string
	// attempt is set in the copy that carries out one.
	attempt string
}

var _ worker.Handler = (*handler)(nil)

// Handle carries out a task as its image's tag, or its job's name, says.
func (h *handler) Handle(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
	h = &handler{js: h.js, worker: h.worker, attempt: tasks.NewID()}
	if t.Destroy != nil {
		return h.destroy(ctx, t, at, rep)
	}
	plan, err := effect.ParsePlan(t.Deploy.ImageTag)
	if err != nil {
		return tasks.Result{}, tasks.Fail(tasks.ReasonImageInvalid, err.Error(), nil)
	}
	return h.deploy(ctx, t, at, rep, plan)
}

func (h *handler) deploy(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter, plan effect.Plan) (tasks.Result, error) {
	var result tasks.Result
	reached := at.From
	if reached.Image == nil {
		rep.Stage(tasks.StageBuild)
		if err := h.effect(ctx, t, at, effect.Build); err != nil {
			return result, err
		}
		if err := h.work(ctx, rep, plan); err != nil {
			return result, err
		}
		reached.Image = &tasks.Image{Name: t.Deploy.ImageName, Tag: t.Deploy.ImageTag, Digest: "sha256:" + t.ID}
		if err := at.Keep(ctx, reached); err != nil {
			return result, err
		}
	}
	result.Image = *reached.Image
	if plan.Outcome == effect.Fail {
		return result, tasks.Fail(tasks.ReasonUnhealthy, "made to fail", nil)
	}
	if plan.Outcome == effect.Panic {
		panic("made to panic")
	}
	if reached.Registration == nil {
		rep.Stage(tasks.StageRegister)
		if err := h.effect(ctx, t, at, effect.Register); err != nil {
			return result, err
		}
		reached.Registration = &tasks.Registration{JobID: t.Deploy.JobID}
		if err := at.Keep(ctx, reached); err != nil {
			return result, err
		}
	}
	result.Registered = true
	rep.Stage(tasks.StageWatch)
	return result, h.work(ctx, rep, plan)
}

func (h *handler) destroy(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
	var result tasks.Result
	rep.Stage(tasks.StageDestroy)
	for _, job := range t.Destroy.Jobs {
		if err := h.effect(ctx, t, at, effect.Destroy); err != nil {
			return result, err
		}
		result.Destroyed = append(result.Destroyed, job)
	}
	return result, nil
}

// work takes the plan's time and says three lines.
func (h *handler) work(ctx context.Context, rep tasks.Reporter, plan effect.Plan) error {
	for i := range 3 {
		_, _ = fmt.Fprintf(rep.Stdout(), "line %d of %s\n", i+1, h.worker)
		timer := time.NewTimer(plan.Work / 3)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	return nil
}

// effect writes down that a side effect is made, by whom and for whom. The guard
// stands right before it, as in the adapters.
func (h *handler) effect(ctx context.Context, t tasks.Task, at tasks.Attempt, kind string) error {
	target := strings.Join(t.Targets(), "+")
	body, err := json.Marshal(effect.Effect{Kind: kind, TaskID: t.ID, Target: target, Worker: h.worker, Attempt: h.attempt})
	if err != nil {
		return err
	}
	for {
		if err := at.Guard.Ask(ctx); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := h.js.Publish(bounded, effect.Subject(target, t.ID), body)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
