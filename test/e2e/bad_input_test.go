//go:build e2e

package e2e_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// badInput is a message that no task can be made of, or not this one.
type badInput struct {
	name string
	// subject is without its id; empty is that of a deploy-image of app.
	subject string
	body    string
	reason  string
	// says are parts of the one sentence.
	says []string
	// told is true where the ids can be read: then the deployment fails in public.
	told bool
	// nameless is true where neither subject nor body has an id that counts.
	nameless bool
}

const (
	ids     = `"jobId":"app","deploymentId":%q,"serviceId":"srv-1"`
	minimal = ids + `,"imageName":"app","deploy":"noop"`
)

var badInputs = []badInput{
	{name: "no JSON", body: `{"task": deploy`, reason: "invalid_task", says: []string{"failed to parse the body"}},
	{name: "nothing", body: ``, reason: "invalid_task", says: []string{"failed to parse the body"}},
	{name: "a list", body: `[1,2]`, reason: "invalid_task", says: []string{"expected an object"}},
	{name: "no task", body: `{"params":{}}`, reason: "invalid_task", says: []string{"task: missing"}},
	{name: "unknown task", body: `{"task":"deploy-everything","params":{}}`, reason: "invalid_task", says: []string{"unknown task", "deploy-everything"}},
	{name: "no params", body: `{"task":"deploy-image"}`, reason: "invalid_task", says: []string{"params"}},
	{
		name: "all missing fields at once", body: `{"task":"deploy-image","params":{}}`, reason: "invalid_task",
		says: []string{"params.jobId: missing", "params.deploymentId: missing", "params.serviceId: missing", "params.imageName: missing"},
	},
	{
		name: "wrong types", body: `{"task":"deploy-image","params":{` + minimal + `,"cpu":"many","ram":{},"networks":"none","gpu":1.5}}`, reason: "invalid_task",
		says: []string{"params.cpu", "params.ram", "params.networks", "params.gpu"}, told: true,
	},
	{
		name: "a wrong type deep inside", body: `{"task":"deploy-image","params":{` + minimal + `,"networks":[{"portNumber":80},{"portNumber":70000}]}}`,
		reason: "invalid_task", says: []string{"params.networks[1].portNumber"}, told: true,
	},
	{
		name: "a deployment id that is no token", body: `{"task":"deploy-image","params":{"jobId":"app","deploymentId":"a.b.*","serviceId":"s","imageName":"app"}}`,
		reason: "invalid_task", says: []string{"params.deploymentId", "a.b.*"},
	},
	{name: "an id that is no token", body: `{"task":"deploy-image","id":"a.b","params":{` + minimal + `}}`, reason: "invalid_task", says: []string{"id: must match"}, told: true},
	{name: "an id that contradicts the subject", body: `{"task":"deploy-image","id":"another","params":{` + minimal + `}}`, reason: "subject_mismatch", says: []string{"another"}, told: true},
	{name: "a kind that contradicts the subject", body: `{"task":"redeploy-repository","params":{` + minimal + `,"repository":"a/b","branch":"main"}}`, reason: "subject_mismatch", says: []string{"deploy-image", "redeploy-repository"}, told: true},
	{name: "a job that contradicts the subject", subject: "dispatch.task.deploy-image.other", body: `{"task":"deploy-image","params":{` + minimal + `}}`, reason: "subject_mismatch", says: []string{"other"}, told: true},
	{name: "a subject with too many tokens", subject: "dispatch.task.deploy-image.app.more", body: `{"task":"deploy-image","params":{` + minimal + `}}`, reason: "subject_mismatch", says: []string{"the subject"}, nameless: true},
	{name: "deep nesting", body: `{"task":"deploy-image","params":{` + minimal + `,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}`, reason: "invalid_task", says: []string{"nested"}, told: true},
	{name: "params that are base64 of garbage", body: `{"task":"deploy-image","params":"` + base64.StdEncoding.EncodeToString([]byte("garbage")) + `"}`, reason: "invalid_task", says: []string{"params", "failed to parse"}},
	{name: "params that are garbage", body: `{"task":"deploy-image","params":"{garbage"}`, reason: "invalid_task", says: []string{"params", "failed to parse"}},
	{name: "a string in a string", body: `{"task":"deploy-image","params":"\"{}\""}`, reason: "invalid_task", says: []string{"params"}},
	{name: "unknown deployer", body: `{"task":"deploy-image","params":{` + ids + `,"imageName":"app","deploy":"by-hand"}}`, reason: "invalid_task", says: []string{"params.deploy", "by-hand"}, told: true},
	{
		name: "unknown builder and provider", subject: "dispatch.task.deploy-repository.app", reason: "invalid_task",
		body: `{"task":"deploy-repository","params":{` + ids + `,"repository":"a/b","branch":"main","provider":"sourceforge","build":{"builder":"make"}}}`,
		says: []string{"params.provider", "params.build.builder"}, told: true,
	},
	{
		name: "an address with another scheme", subject: "dispatch.task.deploy-repository.app", reason: "invalid_task",
		body: `{"task":"deploy-repository","params":{` + ids + `,"repository":"ext::sh -c id","branch":"--upload-pack=id"}}`,
		says: []string{"params.repository", "params.branch"}, told: true,
	},
	{
		name: "paths that leave the tree", subject: "dispatch.task.deploy-repository.app", reason: "invalid_task",
		body: `{"task":"deploy-repository","params":{` + ids + `,"repository":"a/b","branch":"main","build":{"rootDirectory":"../../etc","dockerfilePath":"/etc/passwd"}}}`,
		says: []string{"params.build.rootDirectory", "params.build.dockerfilePath"}, told: true,
	},
	{name: "an unknown reason to destroy", subject: "dispatch.task.destroy-job-pack.app", body: `{"task":"destroy-job-pack","params":{"jobs":[{"jobId":"app"}],"reason":"boredom"}}`, reason: "invalid_task", says: []string{"params.reason", "boredom"}},
}

// TestBadInputGoesToTheDeadLettersAndTheQueueGoesOn sends everything at once.
func TestBadInputGoesToTheDeadLettersAndTheQueueGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start("DISPATCHD_SLOTS=2")
	sentAs := map[string]string{}
	for _, bad := range badInputs {
		id := newID()
		subject := bad.subject
		if subject == "" {
			subject = "dispatch.task.deploy-image.app"
		}
		subject += "." + id
		body := strings.ReplaceAll(bad.body, "%q", fmt.Sprintf("%q", "dep-"+id))
		if err := w.publish(subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
		sentAs[bad.name] = subject
		if bad.told {
			w.sent = append(w.sent, &sent{id: id, deployment: "dep-" + id, refused: true})
		}
	}
	good := w.send(image(t, "good", "app", "1").with(params{"deploy": "noop"}))
	w.succeeded(good, patience)

	letters := map[string]message{}
	eventually(t, 20*time.Second, "every bad message is a dead letter", func() bool {
		for _, letter := range w.all(w.stream("DISPATCH_DLQ")) {
			letters[strings.TrimPrefix(letter.header.Get("Dispatch-Subject"), w.subject(""))] = letter
		}
		return len(letters) >= len(badInputs)
	})
	for _, bad := range badInputs {
		t.Run(bad.name, func(t *testing.T) { wantLetter(t, w, bad, letters[sentAs[bad.name]], sentAs[bad.name]) })
	}
	if left := w.all(w.stream("DISPATCH_DLQ")); len(left) != len(badInputs) {
		t.Errorf("%d dead letters, want %d", len(left), len(badInputs))
	}
}

// wantLetter checks the dead letter and, where somebody can be told, the event.
func wantLetter(t *testing.T, w *world, bad badInput, letter message, subject string) {
	t.Helper()
	text := letter.header.Get("Dispatch-Error")
	if letter.header.Get("Dispatch-Reason") != bad.reason || strings.ContainsAny(text, "\n\r") || len(text) > 1024 {
		t.Errorf("the dead letter has the reason %q and the error %q, want reason %q and one sentence", letter.header.Get("Dispatch-Reason"), text, bad.reason)
	}
	wantAll(t, "the error", text, bad.says...)
	id := subject[strings.LastIndexByte(subject, '.')+1:]
	name := id
	if bad.nameless {
		sum := sha256.Sum256([]byte(w.subject(subject)))
		name = "x" + hex.EncodeToString(sum[:16])
	}
	if got, want := letter.subject, "dispatch.dlq."+name; got != want {
		t.Errorf("the dead letter is on %s, want %s", got, want)
	}
	if letter.header.Get("traceparent") != traceparent {
		t.Error("the dead letter lost the message's own headers")
	}
	events := w.said(&sent{id: id})
	if want := map[bool]int{true: 1, false: 0}[bad.told]; len(events) != want {
		t.Fatalf("%d events, want %d: %v", len(events), want, events)
	}
	for _, e := range events {
		if e.subject != "deployment.failed" || e.header.Get("Dispatch-Reason") != bad.reason {
			t.Errorf("the event is %s with the reason %q", e.subject, e.header.Get("Dispatch-Reason"))
		}
	}
}

// TestParamsInEveryWrapping: an object, a string of JSON, base64 of JSON, and a
// body that is nearly as large as NATS takes.
func TestParamsInEveryWrapping(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	for _, c := range []struct {
		name string
		wrap func(text []byte) any
	}{
		{"object", func(text []byte) any { return json.RawMessage(text) }},
		{"string", func(text []byte) any { return string(text) }},
		{"base64", func(text []byte) any { return base64.StdEncoding.EncodeToString(text) }},
		{"nearly 1 MiB", func(text []byte) any {
			return json.RawMessage(`{"ignored":"` + strings.Repeat("x", 1<<20-2000) + `",` + string(text[1:]))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := image(t, "wrapped", "app", "1").with(params{"deploy": "noop"})
			s := w.expect(k)
			body := mustJSON(t, map[string]any{"task": k.kind, "params": c.wrap(mustJSON(t, k.params))})
			if err := w.publish(k.subject(), body); err != nil {
				t.Fatal(err)
			}
			w.succeeded(s, patience)
		})
	}
}

// hostile reads as syntax to every language on the way.
const hostile = "\"quo'te\n${env.HOME} %{ if true } [[ .x ]] {{ env \"HOME\" }} -- $(id) `id` \\"

// TestHostileTextReachesTheAppAsTheSameText goes through HCL, the pack and
// Nomad to the container.
func TestHostileTextReachesTheAppAsTheSameText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	k := image(t, "hostile", pushHello(t, "hostile", "1"), "1").with(params{
		"projectId": hostile, "teamId": hostile, "ownerId": hostile,
		"configFiles": []params{{"path": "etc/hostile.txt", "content": base64.StdEncoding.EncodeToString([]byte(hostile))}},
	})
	s := w.send(k)
	w.succeeded(s, patience)
	running := allocations(t, k.job())
	if len(running) != 1 {
		t.Fatalf("%d allocations run, want 1", len(running))
	}
	labels := fmt.Sprint(readJob(t, k.job()).TaskGroups[0].Tasks[0].Config["labels"])
	container := containerOf(t, running[0].ID)
	if got := container.Labels["project_id"]; got != hostile {
		t.Errorf("the container's label is %q, want %q (the job's labels: %s)", got, hostile, labels)
	}
	if got := readContainerFile(t, container.ID, "/etc/hostile.txt"); got != hostile {
		t.Errorf("the app's file holds %q, want %q", got, hostile)
	}
	var event struct{ OwnerID, TeamID string }
	if err := json.Unmarshal([]byte(w.said(s, "deployment.succeeded")[0].body), &event); err != nil || event.OwnerID != hostile || event.TeamID != hostile {
		t.Errorf("the event has %+v (%v)", event, err)
	}
}

// TestPathsThatLeaveTheTreeByLink: what the task may not name, the repository
// may not link to.
func TestPathsThatLeaveTheTreeByLink(t *testing.T) {
	t.Parallel()
	source := newProvider(t)
	source.linked("acme/app")
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	for _, c := range []struct {
		name  string
		build params
	}{
		{"a linked Dockerfile", params{"builder": "csdocker", "dockerfilePath": "Dockerfile.link"}},
		{"a linked root", params{"builder": "csdocker", "rootDirectory": "out"}},
		{"a Dockerfile that is not there", params{"builder": "csdocker", "dockerfilePath": "no/Dockerfile"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.send(repository(t, "linked", "acme/app").with(params{"build": c.build, "deploy": "noop"}))
			r := w.settled(s, patience)
			if r.Status != "failed" || r.Reason != "source_invalid" {
				t.Errorf("%s (%s): %s, want source_invalid", r.Status, r.Reason, r.Message)
			}
			w.wantSentence(r.Message)
		})
	}
}
