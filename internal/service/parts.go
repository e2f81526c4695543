package service

import (
	"context"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// parts are what the service and a single task both work with.
type parts struct {
	bus       *bus
	adapters  *adapters
	workspace *worker.Workspace
}

// openParts connects to NATS and makes the rest; close ends them all.
func openParts(ctx context.Context, host Host) (*parts, error) {
	b, err := connect(ctx, host, natsconn.WorkerInbox)
	if err != nil {
		return nil, err
	}
	a, err := newAdapters(host.Config)
	if err != nil {
		b.close()
		return nil, err
	}
	a.platform = newPlatform(host.Config, host.Log)
	workspace, err := openWorkspace(host)
	if err != nil {
		a.close()
		b.close()
		return nil, err
	}
	return &parts{bus: b, adapters: a, workspace: workspace}, nil
}

func (p *parts) close() {
	_ = p.workspace.Close()
	p.adapters.close()
	p.bus.close()
}

func openWorkspace(host Host) (*worker.Workspace, error) {
	workspace, err := worker.OpenWorkspace(host.Config.Worker.WorkDir)
	if err != nil {
		return nil, err
	}
	reaped, err := workspace.Reap()
	if err != nil {
		host.Log.Warn("remove what dead workers left", zap.Error(err))
	}
	if reaped > 0 {
		host.Log.Info("removed the work directories of dead workers", zap.Int("workers", reaped))
	}
	return workspace, nil
}
