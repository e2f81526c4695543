//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TestNobodyHearsWhatWorkersFetch has each other role listen to the workers'
// inboxes while a task comes, with its tokens.
func TestNobodyHearsWhatWorkersFetch(t *testing.T) {
	t.Parallel()
	for _, listener := range roles {
		if listener.name == "WORKER" || listener.name == "SETUP" {
			continue
		}
		t.Run(listener.name, func(t *testing.T) {
			t.Parallel()
			b := newBus(t, busOptions{role: listener})
			nc, _ := b.connect("_INBOX.other")
			heard, err := nc.SubscribeSync("_INBOX.dispatchd.>")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			secret := noop("secret").with(params{"nomadToken": "of-somebody-else"})
			b.put(secret.subject(), secret.body(t))
			b.seed = b.seeds["WORKER"]
			_, js := b.connect("_INBOX.dispatchd")
			consumer, err := js.Consumer(brief(t), "DISPATCH_TASKS", "dispatchd")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for {
				message, err := heard.NextMsg(200 * time.Millisecond)
				if err != nil {
					break
				}
				if string(message.Data) == string(secret.body(t)) {
					t.Errorf("%s hears on %s what a worker has fetched: %s", listener.name, message.Subject, message.Data)
				}
			}
		})
	}
}
