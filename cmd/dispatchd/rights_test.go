package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/queue"
)

// readOnly is a server with a user that has the rights to look and no others,
// as docs/operator.md lists them.
func readOnly(t *testing.T) (asAdmin jetstream.JetStream) {
	t.Helper()
	pairs := map[string]nkeys.KeyPair{}
	public := map[string]string{}
	for _, name := range []string{"admin", "looker"} {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		key, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		pairs[name], public[name] = pair, key
	}
	rights := []string{"$JS.API.CONSUMER.INFO.DISPATCH_TASKS.dispatchd", "$JS.API.STREAM.MSG.GET.DISPATCH_EVENTS", "$JS.API.STREAM.NAMES"}
	for _, stream := range []string{"DISPATCH_TASKS", "DISPATCH_DLQ", "KV_dispatch_run", "KV_dispatch_lease"} {
		rights = append(rights, "$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream)
	}
	server := natstest.RunWith(t, embednats.Options{Users: []embednats.User{
		{NKey: public["admin"]},
		{NKey: public["looker"], Publish: &embednats.Permission{Allow: rights}, Subscribe: &embednats.Permission{Allow: []string{"_INBOX.operator.>"}}},
	}})
	nc, err := nats.Connect(server.ClientURL(), nats.Nkey(public["admin"], pairs["admin"].Sign))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	seed, err := pairs["looker"].Seed()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_SERVERS", server.ClientURL())
	t.Setenv("NATS_CLIENT_PRIVATE_KEY", string(seed))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// TestTheRightsToLookSuffice sets the environment, so it is not parallel.
func TestTheRightsToLookSuffice(t *testing.T) {
	js := readOnly(t)
	topology := queue.Topology{Replicas: 1}
	if err := queue.EnsureService(t.Context(), js.Conn(), js, topology); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"build.log.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "$KV.dispatch_lease.worker.w1", []byte(`{"id":"w1","slots":1}`)); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1"}}`)
	for _, subject := range []string{topology.TaskSubject("deploy-image", "web", "a"), topology.DeadLetterSubject("l")} {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: body}); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"queue"}, {"queue", "--job", "web"}, {"show", "--lines", "0", "a"}, {"workers"}, {"dlq", "ls"}, {"dlq", "show", "l"}} {
		if code, _, stderr := call(t, "", args...); code != 0 {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"cancel", "a"}, "dispatch.cancel.a"},
		{[]string{"dlq", "drop", "--yes", "l"}, "$JS.API.STREAM.MSG.DELETE.DISPATCH_DLQ"},
		{[]string{"show", "a"}, "$JS.API.STREAM.MSG.GET.LOGS"},
	} {
		began := time.Now()
		code, _, stderr := call(t, "", c.args...)
		if code != 1 || !strings.Contains(stderr, "not permitted") || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %s, want that %s is not permitted", c.args, code, stderr, c.want)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%v took %s: a refusal must not be waited out", c.args, took)
		}
	}
}
