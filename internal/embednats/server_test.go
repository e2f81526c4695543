package embednats_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, url string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestServerKeepsMessagesAndPortOverARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := natstest.RunWith(t, embednats.Options{SyncAlways: true})
	url := s.ClientURL()
	js := connect(t, url)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	if nc, err := nats.Connect(url, nats.Timeout(time.Second)); err == nil {
		nc.Close()
		t.Fatal("a stopped server takes connections")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := s.ClientURL(); got != url {
		t.Errorf("after the restart the URL is %s, want %s", got, url)
	}
	stream, err := connect(t, url).Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(msg.Data), "kept"; got != want {
		t.Errorf("message is %q, want %q", got, want)
	}
}

func TestRestartOfARunningServer(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, s.ClientURL())
	s.Shutdown()
	s.Shutdown()
}

func TestUsersAreLimited(t *testing.T) {
	t.Parallel()
	s := natstest.RunWith(t, embednats.Options{Users: []embednats.User{
		{Name: "u", Password: "p", Publish: &embednats.Permission{Allow: []string{"yes"}}},
	}})
	if nc, err := nats.Connect(s.ClientURL()); err == nil {
		nc.Close()
		t.Error("connected without a user")
	}
	refused := make(chan error, 1)
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("u", "p"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{"yes", "no"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-refused:
		if !strings.Contains(err.Error(), `"no"`) {
			t.Errorf("got %v, want a violation of \"no\"", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("no permissions violation")
	}
}

// TestConfigFileHolds lets in whom the file names, on the address of the options.
func TestConfigFileHolds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	text := "listen: 127.0.0.1:1\nauthorization { users: [ {user: u, password: p} ] }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := natstest.RunWith(t, embednats.Options{ConfigFile: file})
	if nc, err := nats.Connect(s.ClientURL()); err == nil {
		nc.Close()
		t.Error("connected without a user")
	}
	connect(t, s.ClientURL(), nats.UserInfo("u", "p"))
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	for _, tc := range []struct {
		name string
		o    embednats.Options
		want string
	}{
		{"no store", embednats.Options{}, "start NATS server: no StoreDir given"},
		{"the port is taken", embednats.Options{StoreDir: t.TempDir(), Port: port}, "address already in use"},
		{"the store is no directory", embednats.Options{StoreDir: "/dev/null"}, "/dev/null"},
		{"no configuration file", embednats.Options{StoreDir: t.TempDir(), ConfigFile: "/none.conf"}, "/none.conf"},
		{"no certificate", embednats.Options{StoreDir: t.TempDir(), TLS: &embednats.TLS{Cert: "/none"}}, "load certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := embednats.Start(tc.o)
			if err == nil {
				s.Shutdown()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want it to contain %q", err, tc.want)
			}
		})
	}
}
