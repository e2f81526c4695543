package service

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/natsconn"
)

// bus is the one connection to NATS.
type bus struct {
	nc *nats.Conn
	js jetstream.JetStream
	// denied gets the first subject that the server refuses us while asking is
	// true: somebody waits to hear of it then.
	denied chan *natsconn.PermissionError
	asking atomic.Bool
	// back is when the connection came back the last time after it had been away
	// for so long that leases may have ended; nil where it never was.
	back atomic.Pointer[time.Time]
	// lost is when the connection was lost the last time.
	lost atomic.Pointer[time.Time]
	// brief is how long it may have been away without anybody's lease ending.
	brief time.Duration
	// returned gets a word each time the connection comes back.
	returned chan struct{}
}

// errDenied says that the server does not permit us what we asked for.
var errDenied = errors.New("not permitted by the NATS server")

// connect opens the connection, whose answers come to the inbox. Its errors begin
// with the words that callers of run-once have always looked for.
func connect(ctx context.Context, host Host, inbox string) (*bus, error) {
	b := &bus{brief: host.Pace.Beat(), denied: make(chan *natsconn.PermissionError, 1), returned: make(chan struct{}, 1)}
	nc, err := natsconn.Connect(ctx, b.options(host, inbox))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("failed to initialize NATS: %w", err)
	}
	b.nc, b.js = nc, js
	return b, nil
}

func (b *bus) options(host Host, inbox string) natsconn.Options {
	n, log := host.Config.NATS, host.Log
	return natsconn.Options{
		Servers: n.Servers, Seed: n.PrivateKey.Reveal(), Creds: n.Creds, CA: n.CA, Cert: n.Cert, Key: n.Key,
		Name: "dispatchd " + host.Config.Worker.ID, Inbox: topologyOf(host).Inbox(inbox), ConnectTimeout: n.ConnectTimeout,
		OnDisconnect: func(err error) {
			b.noteLost(err)
			log.Warn("the connection to NATS is lost; work goes on and waits for it", zap.Error(err))
		},
		OnReconnect: func() {
			b.noteBack()
			select {
			case b.returned <- struct{}{}:
			default:
			}
			log.Info("the connection to NATS is back")
		},
		OnError: func(err error) {
			var denied *natsconn.PermissionError
			if errors.As(err, &denied) && b.asking.Load() {
				b.noteDenied(denied)
				return
			}
			log.Warn("NATS", zap.Error(err))
		},
	}
}

// noteLost remembers since when the connection has been away: one that fell silent
// has been so for longer than we know.
func (b *bus) noteLost(err error) {
	since := time.Now()
	if errors.Is(err, nats.ErrStaleConnection) {
		since = time.Time{}
	}
	b.lost.Store(&since)
}

// noteBack begins the grace for other workers, unless nobody can have needed it:
// where only our own connection was cut, or a server of several was restarted, a
// lease that has ended since is a dead worker's.
func (b *bus) noteBack() {
	now := time.Now()
	if lost := b.lost.Load(); lost == nil || now.Sub(*lost) > b.brief {
		b.back.Store(&now)
	}
}

// reconnected returns when the connection came back the last time from a longer
// absence.
func (b *bus) reconnected() time.Time {
	if back := b.back.Load(); back != nil {
		return *back
	}
	return time.Time{}
}

// onReturn calls do each time the connection has come back, until ctx ends.
func (b *bus) onReturn(ctx context.Context, do func(context.Context)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.returned:
			do(ctx)
		}
	}
}

// noteDenied keeps the first refusal: whoever waits for an answer that will
// never come hears of it.
func (b *bus) noteDenied(err *natsconn.PermissionError) {
	select {
	case b.denied <- err:
	default:
	}
}

// orDenied calls do and ends it with errDenied as soon as the server refuses a
// subject: a forbidden request is otherwise only a time-out.
func (b *bus) orDenied(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.asking.Store(true)
	defer b.asking.Store(false)
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err := <-done:
		return err
	case denied := <-b.denied:
		cancel(denied)
		if err := <-done; err == nil {
			return nil
		}
		return fmt.Errorf("%w: %w", errDenied, denied)
	}
}

func (b *bus) close() { b.nc.Close() }
