package doctor_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/doctor"
	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/queue"
)

var legacy = []string{"deployment.status.changed", "deployment.succeeded", "deployment.failed", "job.destroyed"}

// enough are the rights of docs/events.md.
func enough() []string {
	return append(slices.Clone(queue.Topology{}.Publishes()), "deployment.>", "job.destroyed", "build.log.>", "$JS.API.STREAM.INFO.DEPLOYMENTS", "$JS.API.STREAM.MSG.GET.DEPLOYMENTS", "$SYS.REQ.USER.INFO")
}

// without is a list less some entries.
func without(list []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(gone, s) })
}

// platform is a server with an operator, who may do everything, and one worker
// for each list of subjects that it may publish to; nil is all.
func platform(t *testing.T, workers ...[]string) (*embednats.Server, jetstream.JetStream) {
	t.Helper()
	users := []embednats.User{{Name: "operator", Password: "pw"}}
	for i, publish := range workers {
		user := embednats.User{Name: fmt.Sprintf("worker%d", i), Password: "pw", Subscribe: &embednats.Permission{Allow: []string{"_INBOX.dispatchd.>"}}}
		if publish != nil {
			user.Publish = &embednats.Permission{Allow: publish}
		}
		users = append(users, user)
	}
	server := natstest.RunWith(t, embednats.Options{Users: users})
	nc, err := nats.Connect(server.ClientURL(), nats.UserInfo("operator", "pw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DEPLOYMENTS", Subjects: []string{"deployment.>", "job.destroyed"}}); err != nil {
		t.Fatal(err)
	}
	if err := queue.EnsureService(t.Context(), nc, js, queue.Topology{}); err != nil {
		t.Fatal(err)
	}
	return server, js
}

func asWorker(server *embednats.Server, n int) doctor.NATS {
	return doctor.NATS{
		Connection: natsconn.Options{Servers: []string{strings.Replace(server.ClientURL(), "://", fmt.Sprintf("://worker%d:pw@", n), 1)}},
		Legacy:     legacy, Logs: []string{"build.log.*"},
	}
}

// looksInto runs the check and requires that it took no longer than it may.
func looksInto(t *testing.T, n doctor.NATS) []doctor.Result {
	t.Helper()
	began := time.Now()
	results := n.Check(t.Context())
	if took := time.Since(began); took > doctor.Limit {
		t.Errorf("it took %s", took)
	}
	for _, r := range results {
		if line := r.String(); strings.Contains(line, "pw") {
			t.Errorf("a password stands in %s", line)
		}
	}
	return results
}

func TestAWorkersNATSIsHealthyWithTheRightsOfTheDocument(t *testing.T) {
	t.Parallel()
	server, js := platform(t, enough())
	before := stored(t, js)
	results := looksInto(t, asWorker(server, 0))
	healthy(t, results)
	expect(t, results, doctor.OK, "connect to NATS at 127.0.0.1", "version 2.")
	expect(t, results, doctor.OK, "look at our streams and our consumer: 6 fit")
	expect(t, results, doctor.OK, "compare the rights", "are there")
	expect(t, results, doctor.OK, "the backend's stream DEPLOYMENTS", "each event stands there once")
	expect(t, results, doctor.OK, "clock", "differ by")
	if after := stored(t, js); after != before {
		t.Errorf("the check stored %d messages", after-before)
	}
}

func stored(t *testing.T, js jetstream.JetStream) (n uint64) {
	t.Helper()
	for info := range js.ListStreams(t.Context()).Info() {
		n += info.State.LastSeq
	}
	return n
}

func TestEachMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	needed := without(enough(), "$SYS.REQ.USER.INFO")
	var told, untold [][]string
	for _, subject := range needed {
		told = append(told, without(enough(), subject))
		untold = append(untold, without(enough(), subject, "$SYS.REQ.USER.INFO"))
	}
	server, js := platform(t, slices.Concat(told, untold)...)
	before := stored(t, js)
	for i, subject := range needed {
		named := strings.TrimSuffix(strings.NewReplacer("deployment.>", "deployment.failed", "build.log.>", "build.log.*").Replace(subject), ".>")
		requireNamed(t, looksInto(t, asWorker(server, i)), named)

		results := looksInto(t, asWorker(server, len(needed)+i))
		if strings.ContainsAny(subject[:1], "djb") && !strings.HasPrefix(subject, "dispatch.") {
			expect(t, results, doctor.Warn, "read the rights", "does not say whether it may publish", "allow it to publish $SYS.REQ.USER.INFO")
			continue
		}
		requireNamed(t, results, named)
	}
	if after := stored(t, js); after != before {
		t.Errorf("the checks stored %d messages", after-before)
	}
}

// requireNamed wants a subject in a line that is not ok.
func requireNamed(t *testing.T, results []doctor.Result, subject string) {
	t.Helper()
	for _, r := range results {
		if r.Status != doctor.OK && strings.Contains(r.String(), subject) && r.Fix != "" {
			return
		}
	}
	t.Errorf("nothing names %s in %v", subject, results)
}

func TestWhatIsWrongOnTheServerIsTold(t *testing.T) {
	t.Parallel()
	server, js := platform(t, nil)
	ctx := t.Context()
	change := func(do error) {
		t.Helper()
		if do != nil {
			t.Fatal(do)
		}
	}
	change(js.DeleteStream(ctx, "KV_dispatch_lease"))
	expect(t, looksInto(t, asWorker(server, 0)), doctor.OK, "KV_dispatch_lease missing; `dispatchd run` makes")

	change(js.DeleteStream(ctx, "DISPATCH_DLQ"))
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "DISPATCH_DLQ", Subjects: []string{"else"}, Retention: jetstream.WorkQueuePolicy})
	change(err)
	expect(t, looksInto(t, asWorker(server, 0)), doctor.Fail, "stream DISPATCH_DLQ does not fit", "retention", "DISPATCH_DLQ: change or delete it")

	_, err = js.UpdateStream(ctx, jetstream.StreamConfig{Name: "DEPLOYMENTS", Subjects: []string{"deployment.>"}, MaxMsgsPerSubject: 1})
	change(err)
	results := looksInto(t, asWorker(server, 0))
	expect(t, results, doctor.Fail, "none covers job.destroyed", "NATS_STREAM_PREFIX: ")
	expect(t, results, doctor.Warn, "stream DEPLOYMENTS", "at least once, with the same Nats-Msg-Id")
}

func TestRightsToMakeStreamsAreWantedWhereTheyAreMissing(t *testing.T) {
	t.Parallel()
	server, js := platform(t, enough())
	if err := js.DeleteStream(t.Context(), "DISPATCH_EVENTS"); err != nil {
		t.Fatal(err)
	}
	expect(t, looksInto(t, asWorker(server, 0)), doctor.Fail, "it may not publish", "$JS.API.STREAM.CREATE.DISPATCH_EVENTS")
}

func TestAConnectionThatFailsSaysWhichOption(t *testing.T) {
	t.Parallel()
	server, _ := platform(t, nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, c := range map[string]struct {
		options natsconn.Options
		want    []string
	}{
		"none named":  {natsconn.Options{}, []string{"NATS_SERVERS is not set", "NATS_SERVERS: name the servers"}},
		"nobody":      {natsconn.Options{Servers: []string{"nats://127.0.0.1:1"}}, []string{"no server answered", "NATS_SERVERS: start the server"}},
		"silence":     {natsconn.Options{Servers: []string{"nats://" + silent.Addr().String()}}, []string{"no server answered", "NATS_SERVERS: "}},
		"wrong user":  {natsconn.Options{Servers: []string{server.ClientURL()}}, []string{"authorization refused", "NATS_CLIENT_PRIVATE_KEY: set the key"}},
		"no seed":     {natsconn.Options{Servers: []string{server.ClientURL()}, Seed: "SUx"}, []string{"not an NKey user seed", "NATS_CLIENT_PRIVATE_KEY: "}},
		"no CA there": {natsconn.Options{Servers: []string{server.ClientURL()}, CA: "/nowhere"}, []string{"no TLS connection", "DISPATCHD_NATS_CA: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.ConnectTimeout = 300 * time.Millisecond
			results := looksInto(t, doctor.NATS{Connection: c.options})
			if len(results) != 1 {
				t.Errorf("%d results, want one", len(results))
			}
			expect(t, results, doctor.Fail, append([]string{"connect to NATS"}, c.want...)...)
		})
	}
}
