package service

import (
	"context"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/natsconn"
)

// WithDesk connects to NATS, calls do with the operator's desk and disconnects.
// What the server refuses ends do with the subject that was refused.
func WithDesk(ctx context.Context, host Host, do func(context.Context, *desk.Desk) error) error {
	b, err := connect(ctx, host, natsconn.OperatorInbox)
	if err != nil {
		return err
	}
	defer b.close()
	subjects := events.NewSubjects(host.Config.NATS.StreamPrefix, host.Config.NATS.SubjectRoot)
	d := desk.New(b.nc, b.js, desk.Options{Topology: topologyOf(host), Subjects: subjects})
	return b.orDenied(ctx, func(ctx context.Context) error { return do(ctx, d) })
}
