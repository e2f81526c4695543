package service_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/service"
)

// workersRights reads the role WORKER of deploy/nats/permissions.conf, with the
// name that these tests give to the stream of build logs.
func workersRights(t *testing.T) (publish, subscribe *embednats.Permission) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/nats/permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, role, begun := strings.Cut(strings.ReplaceAll(string(text), "BUILD_LOGS", "LOGS"), "\nWORKER = {")
	role, _, ended := strings.Cut(role, "\n}\n")
	out, in, both := strings.Cut(role, "subscribe:")
	if !begun || !ended || !both {
		t.Fatal("permissions.conf has no role WORKER")
	}
	list := func(text string) *embednats.Permission {
		var permission embednats.Permission
		for _, match := range regexp.MustCompile(`(?m)^\s+"([^"]+)"`).FindAllStringSubmatch(text, -1) {
			permission.Allow = append(permission.Allow, match[1])
		}
		return &permission
	}
	return list(out), list(in)
}

// TestRunOnceKeepsRecordsWithAWorkersRights: a run-once that shall take turns
// with the queue's workers needs what they have, and no more.
func TestRunOnceKeepsRecordsWithAWorkersRights(t *testing.T) {
	user, seed := newUser(t)
	user.Publish, user.Subscribe = workersRights(t)
	server := natstest.RunWith(t, embednats.Options{Users: []embednats.User{{Name: "backend", Password: "pass"}, user}})
	asBackend := nats.UserInfo("backend", "pass")
	js := backend(t, server.ClientURL(), asBackend)
	if err := queue.EnsureService(t.Context(), js.Conn(), js, queue.Topology{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	host, log := hostFor(t, map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NATS_CLIENT_PRIVATE_KEY": seed, "NOMAD_META_TASK": "deploy-image", "NOMAD_META_PARAMS": noopParams,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // what is forbidden is waited for
	defer cancel()
	if err := service.RunOnce(ctx, host); err != nil {
		t.Fatalf("RunOnce() = %v\n%s", err, log)
	}
	if got, want := subjectsOf(t, js, "DEPLOYMENTS"), "deployment.status.changed deployment.succeeded"; got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
	if got := subjectsOf(t, js, "DISPATCH_EVENTS"); !strings.Contains(got, "dispatch.done.") {
		t.Errorf("records: %s, want a terminal record", got)
	}
	if strings.Contains(log.String(), `"level":"warn"`) || strings.Contains(log.String(), "does not permit") {
		t.Errorf("it had to do without something:\n%s", log)
	}
}

func newUser(t *testing.T) (user embednats.User, seed string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return embednats.User{NKey: public}, string(private)
}

// TestRunNeedsToReadWhatIsToldTheBackend: without that no task could begin, and each
// would be handed back for ever.
func TestRunNeedsToReadWhatIsToldTheBackend(t *testing.T) {
	const right = "$JS.API.STREAM.MSG.GET.DEPLOYMENTS"
	user, seed := newUser(t)
	user.Publish, user.Subscribe = workersRights(t)
	user.Publish.Allow = slices.DeleteFunc(user.Publish.Allow, func(subject string) bool { return subject == right })
	server := natstest.RunWith(t, embednats.Options{Users: []embednats.User{{Name: "backend", Password: "pass"}, user}})
	js := backend(t, server.ClientURL(), nats.UserInfo("backend", "pass"))
	if err := queue.EnsureService(t.Context(), js.Conn(), js, queue.Topology{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	host, _ := hostFor(t, map[string]string{"NATS_SERVERS": server.ClientURL(), "NATS_CLIENT_PRIVATE_KEY": seed})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := service.Run(ctx, host); err == nil || !strings.Contains(err.Error(), right) {
		t.Errorf("Run() = %v, want it to name %s", err, right)
	}
}
