package service

import (
	"context"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Render works out what a task would run. It asks nobody and changes nothing.
func Render(ctx context.Context, cfg config.Config, text []byte) (tasks.Preview, error) {
	task, err := tasks.Decode(tasks.Message{Body: text, DefaultID: tasks.NewID()})
	if err != nil {
		return tasks.Preview{}, err
	}
	handler := tasks.NewHandler(tasks.Parts{Configurer: hcl.Generator{}, Renderer: newRenderer()}, policy(cfg))
	return handler.Preview(ctx, task)
}
