package natsconn_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/natsconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon is how long a test waits for what should happen at once.
const soon = 10 * time.Second

// newKey returns a new NKey user's seed and public key.
func newKey(t *testing.T) (seed, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return string(text), public
}

// connect connects or fails the test.
func connect(t *testing.T, o natsconn.Options) *nats.Conn {
	t.Helper()
	nc, err := natsconn.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// refused connects, which must fail with an error that is want and holds texts.
func refused(t *testing.T, o natsconn.Options, want error, texts ...string) {
	t.Helper()
	start := time.Now()
	nc, err := natsconn.Connect(t.Context(), o)
	if err == nil {
		nc.Close()
		t.Fatal("connected")
	}
	if !errors.Is(err, want) {
		t.Errorf("got %q, want it to be %q", err, want)
	}
	for _, text := range append(texts, "failed to initialize NATS: ") {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got %q, want it to contain %q", err, text)
		}
	}
	if took := time.Since(start); took > soon {
		t.Errorf("it took %s", took)
	}
}

func TestConnectWithAnNKey(t *testing.T) {
	t.Parallel()
	seed, public := newKey(t)
	other, _ := newKey(t)
	s := natstest.RunWith(t, embednats.Options{Users: []embednats.User{{NKey: public}}})
	servers := []string{s.ClientURL()}

	nc := connect(t, natsconn.Options{Servers: servers, Seed: seed, Name: "test"})
	if err := nc.FlushTimeout(soon); err != nil {
		t.Error(err)
	}
	refused(t, natsconn.Options{Servers: servers, Seed: other}, natsconn.ErrUnauthorized, "authorization")
	refused(t, natsconn.Options{Servers: servers}, natsconn.ErrUnauthorized, "authorization")
}

func TestConnectToAnOpenServer(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t)
	nc := connect(t, natsconn.Options{Servers: []string{strings.TrimPrefix(s.ClientURL(), "nats://")}})
	if got, want := nc.NewInbox(), "_INBOX.dispatchd."; !strings.HasPrefix(got, want) {
		t.Errorf("inbox %q, want it to begin with %q", got, want)
	}
	own := connect(t, natsconn.Options{Servers: []string{s.ClientURL()}, Inbox: natsconn.SubmitInbox})
	if got := own.NewInbox(); !strings.HasPrefix(got, "_INBOX.submit.") {
		t.Errorf("inbox %q, want one of its own", got)
	}
	seed, _ := newKey(t)
	refused(t, natsconn.Options{Servers: []string{s.ClientURL()}, Seed: seed}, natsconn.ErrUnauthorized, "nkeys not supported")
}

func TestConnectWithACredentialsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seed, _ := newKey(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.creds", "-----BEGIN NATS USER JWT-----\neyJhbGciOiJlZDI1NTE5In0.e30.c2ln\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n"+seed+"\n------END USER NKEY SEED------\n")
	servers := []string{natstest.Run(t).ClientURL()}
	connect(t, natsconn.Options{Servers: servers, Creds: good})
	refused(t, natsconn.Options{Servers: servers, Creds: write("bad.creds", "hello")}, natsconn.ErrCredentials, "failed to parse", "bad.creds")
	refused(t, natsconn.Options{Servers: servers, Creds: filepath.Join(dir, "none")}, natsconn.ErrCredentials, "no such file")
}

func TestConnectRefusesBadOptions(t *testing.T) {
	t.Parallel()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountSeed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	servers := []string{"nats://127.0.0.1:1"}
	for _, tc := range []struct {
		name  string
		o     natsconn.Options
		want  error
		texts []string
	}{
		{"no server", natsconn.Options{}, natsconn.ErrNoServers, []string{"NATS_SERVERS is not set"}},
		{"a server that is no URL", natsconn.Options{Servers: []string{"nats://u:pass%zz@h"}}, natsconn.ErrNoServers, []string{"entry 1"}},
		{"a seed that is none", natsconn.Options{Servers: servers, Seed: "SUNOSEED"}, natsconn.ErrCredentials, []string{"failed to parse", "NATS_CLIENT_PRIVATE_KEY"}},
		{"a seed of an account", natsconn.Options{Servers: servers, Seed: string(accountSeed)}, natsconn.ErrCredentials, []string{"failed to parse"}},
		{"no CA file", natsconn.Options{Servers: servers, CA: "/none.pem"}, natsconn.ErrTLS, []string{"/none.pem"}},
		{"a CA file without one", natsconn.Options{Servers: servers, CA: "/dev/null"}, natsconn.ErrTLS, []string{"no CA certificate"}},
		{"no certificate file", natsconn.Options{Servers: servers, Cert: "/none.pem", Key: "/none.key"}, natsconn.ErrTLS, []string{"/none.pem"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			refused(t, tc.o, tc.want, tc.texts...)
			if _, err := natsconn.Connect(t.Context(), tc.o); strings.Contains(err.Error(), "pass%zz") || tc.o.Seed != "" && strings.Contains(err.Error(), tc.o.Seed) {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

func TestConnectGivesUpOnServersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, address := range map[string]string{"a port that nobody has": "127.0.0.1:1", "a port that says nothing": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := natsconn.Options{Servers: []string{"nats://user:secret-word@" + address}, ConnectTimeout: 300 * time.Millisecond}
			refused(t, o, natsconn.ErrUnreachable, "no server answered within 300ms", address)
			if _, err := natsconn.Connect(t.Context(), o); strings.Contains(err.Error(), "secret-word") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	errStop := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	if _, err := natsconn.Connect(ctx, natsconn.Options{Servers: []string{"nats://127.0.0.1:1"}}); !errors.Is(err, errStop) {
		t.Errorf("got %v, want %v", err, errStop)
	}
}

func TestConnectWaitsForAServerThatComesLater(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t)
	s.Shutdown()
	connected := make(chan error, 1)
	go func() {
		nc, err := natsconn.Connect(t.Context(), natsconn.Options{Servers: []string{s.ClientURL()}, ConnectTimeout: soon})
		if err == nil {
			nc.Close()
		}
		connected <- err
	}()
	select {
	case err := <-connected:
		t.Fatalf("without a server, Connect returned %v", err)
	case <-time.After(300 * time.Millisecond): // long enough for a first try to fail
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

func TestConnectionComesBack(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t)
	lost, back := make(chan error, 10), make(chan struct{}, 10)
	nc := connect(t, natsconn.Options{
		Servers:      []string{s.ClientURL()},
		OnDisconnect: func(err error) { lost <- err },
		OnReconnect:  func() { back <- struct{}{} },
	})
	sub, err := nc.SubscribeSync("subject")
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	_ = receive(t, lost, "the disconnect")
	if err := nc.Publish("subject", []byte("while away")); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("a publish while away: got %v, want %v", err, nats.ErrReconnectBufExceeded)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	receive(t, back, "the reconnect")
	if err := nc.Publish("subject", []byte("back")); err != nil {
		t.Fatal(err)
	}
	msg, err := sub.NextMsg(soon)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(msg.Data), "back"; got != want {
		t.Errorf("first message is %q, want %q: what was published while away must stay unsent", got, want)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	nc.Close()
	receive(t, closed, "the end")
	if len(lost) != 0 {
		t.Error("closing counts as a disconnect")
	}
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(soon):
		t.Fatalf("%s did not come", what)
		panic("not reached")
	}
}
