package desk_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// letter puts a dead letter where a worker would.
func (f *floor) letter(id, subject, body string, header nats.Header) {
	f.t.Helper()
	all := nats.Header{
		"Dispatch-Reason": {"invalid_task"}, "Dispatch-Error": {"params.jobId: missing"}, "Dispatch-Attempt": {"1"}, "Dispatch-Subject": {subject},
	}
	for name, values := range header {
		all[name] = values
	}
	f.publishBody(f.topology.DeadLetterSubject(id), body, all)
}

func (f *floor) find(address string) desk.Letter {
	f.t.Helper()
	letter, err := f.desk.Letter(f.t.Context(), address)
	if err != nil {
		f.t.Fatal(err)
	}
	return letter
}

func TestLettersThatRealWorkersWriteAreListedAndShown(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 1, nil)
	f.publishBody(f.topology.TaskSubject("deploy-image", "web", "bad"), `{"task":"deploy-image","params":{"jobId":"web","deploymentId":"d","serviceId":"s"}}`, nil)
	f.publishBody(f.topology.TaskSubject("deploy-image", "web", "garbage"), `no json`, nil)
	f.publishBody(prefix+".dispatch.task.what", `{}`, nil)
	var view desk.Letters
	f.eventually("three letters", func() (all bool) {
		var err error
		view, err = f.desk.Letters(t.Context(), 10)
		return err == nil && view.Total == 3
	})
	seen := map[string]desk.Letter{}
	for _, l := range view.Letters {
		seen[l.ID] = l
	}
	if l := seen["bad"]; l.Task != "deploy-image" || l.Job != "web" || l.Reason != tasks.ReasonInvalidTask || !strings.Contains(l.Message, "imageName") || l.Attempt != 1 {
		t.Errorf("bad: %+v", l)
	}
	if view.Letters[0].Sequence < view.Letters[2].Sequence {
		t.Error("the newest letter is not the first")
	}
	if v := f.show("garbage"); v.State != desk.StateDeadLetter || len(v.Letters) != 1 || v.Task != "deploy-image" {
		t.Errorf("garbage: %+v", v)
	}
	if v := f.show("bad"); v.State != desk.StateEnded || len(v.Letters) != 1 {
		t.Errorf("bad: %+v", v)
	}
	if limited, err := f.desk.Letters(t.Context(), 2); err != nil || len(limited.Letters) != 2 || limited.Total != 3 {
		t.Errorf("two of them: %+v, %v", limited, err)
	}
}

func TestARequeuedLetterIsANewRequestWithALink(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	subject := f.topology.TaskSubject("deploy-image", "web", "old")
	body := `{"id":"old","task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","future":1}}`
	f.letter("old", subject, body, nats.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "X-Mine": {"kept"}})
	made, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: f.find("old")})
	if err != nil {
		t.Fatal(err)
	}
	if made.TaskID == "old" || !tasks.ValidID(made.TaskID) || made.Subject != f.topology.TaskSubject("deploy-image", "web", made.TaskID) {
		t.Errorf("requeued as %+v", made)
	}
	stream, err := f.js.Stream(t.Context(), f.topology.Tasks())
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(t.Context(), made.Subject)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(msg.Data); !strings.Contains(got, `"id":"`+made.TaskID+`"`) || !strings.Contains(got, `"future":1`) || strings.Contains(got, "old") {
		t.Errorf("body %s", got)
	}
	if h := msg.Header; h.Get("Dispatch-Requeued-From") != "old" || h.Get("X-Mine") != "kept" || h.Get("traceparent") == "" || h.Get("Dispatch-Reason") != "" || h.Get("Dispatch-Subject") != "" {
		t.Errorf("headers %v", h)
	}
	if _, err := f.desk.Letter(t.Context(), "old"); err == nil || !strings.Contains(err.Error(), "no dead letter of old") {
		t.Errorf("the letter: %v, want that it is gone", err)
	}
	if was, is := f.show("old"), f.show(made.TaskID); was.RequeuedAs != made.TaskID || is.RequeuedFrom != "old" || is.State != desk.StateRunnable {
		t.Errorf("the link: old %+v, new %+v", was, is)
	}
	f.work("w1", 1, nil)
	if v := f.until(made.TaskID, desk.StateEnded); v.Outcome.Status != "succeeded" || v.RequeuedFrom != "old" {
		t.Errorf("the new one: %+v", v)
	}
}

func TestALetterThatNoWorkerTakesNeedsACorrectedBody(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.letter("a", f.topology.TaskSubject("deploy-image", "web", "a"), "no json {", nil)
	f.letter("b", f.topology.TaskSubject("deploy-image", "other", "b"), bodyOf("web", "b"), nil)
	f.letter("c", prefix+".dispatch.task.what", bodyOf("web", "c"), nil)
	for id, want := range map[string]string{"a": "no JSON object", "b": "the subject's target is", "c": "names no task"} {
		if _, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: f.find(id)}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--body") {
			t.Errorf("requeue %s: %v, want %q and --body", id, err, want)
		}
		if refusal := f.desk.Masked(f.find(id)).Refusal; !strings.Contains(refusal, want) {
			t.Errorf("show %s says %q", id, refusal)
		}
	}
	if _, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: f.find("a"), Body: []byte(`{"task":"deploy-image","params":{}}`)}); err == nil || !strings.Contains(err.Error(), "the corrected body") || !strings.Contains(err.Error(), "params.jobId") {
		t.Errorf("a wrong correction: %v", err)
	}
	for _, id := range []string{"a", "b", "c"} {
		made, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: f.find(id), Body: []byte(bodyOf("web", id))})
		if err != nil || made.Subject != f.topology.TaskSubject("deploy-image", "web", made.TaskID) {
			t.Errorf("the right correction of %s: %+v, %v", id, made, err)
		}
	}
}

func TestALiveTaskIsNotRequeued(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.work("w1", 1, map[string]step{"runs": hang(tasks.StageBuild)})
	f.publish("web", "runs")
	f.claimed("runs")
	f.publish("web", "waits")
	for id, want := range map[string]string{"runs": "has an open run with worker w1", "waits": "waits in the queue"} {
		f.letter(id, f.topology.TaskSubject("deploy-image", "web", id), bodyOf("web", id), nil)
		if _, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: f.find(id)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("requeue %s: %v, want %q", id, err, want)
		}
		if _, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: f.find(id), Force: true}); err != nil {
			t.Errorf("requeue --force %s: %v", id, err)
		}
	}
}

func TestARequeueWhoseAnswerWasLostMakesNoSecondRequest(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.letter("a", f.topology.TaskSubject("deploy-image", "web", "a"), bodyOf("web", "a"), nil)
	letter := f.find("a")
	if _, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: letter}); err != nil {
		t.Fatal(err)
	}
	// The same letter again, as if it had stayed. It is gone, so that only the
	// deletion fails.
	again, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: letter})
	if !again.Before {
		t.Errorf("the second: %+v, %v", again, err)
	}
	if n := f.queue(desk.QueueQuery{}).Totals.Tasks; n != 1 {
		t.Errorf("%d tasks in the queue, want 1", n)
	}
}

func TestALetterStaysWhereItsTaskCannotBePublished(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.letter("a", f.topology.TaskSubject("deploy-image", "web", "a"), bodyOf("web", "a"), nil)
	letter := f.find("a")
	if err := f.js.DeleteStream(t.Context(), f.topology.Tasks()); err != nil {
		t.Fatal(err)
	}
	if made, err := f.desk.Requeue(t.Context(), desk.Requeue{Letter: letter}); err == nil || !strings.Contains(err.Error(), "publish the task on") {
		t.Errorf("without a work queue: %+v, %v", made, err)
	}
	f.find("a")
}

func TestSeveralLettersOfOneIDAreNamedBySequence(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	for range 2 {
		f.letter("a", f.topology.TaskSubject("deploy-image", "web", "a"), bodyOf("web", "a"), nil)
	}
	_, err := f.desk.Letter(t.Context(), "a")
	if err == nil || !strings.Contains(err.Error(), "a@1, a@2") {
		t.Errorf("Letter(a) = %v, want both addresses", err)
	}
	if err := f.desk.Drop(t.Context(), f.find("a@1")); err != nil {
		t.Fatal(err)
	}
	if got := f.find("a").Address; got != "a@2" {
		t.Errorf("the other one: %s", got)
	}
	for _, address := range []string{"a@1", "a@x", "a@", "b", "b@1", "a@2@3"} {
		if _, err := f.desk.Letter(t.Context(), address); err == nil {
			t.Errorf("Letter(%s) = nil, want a sentence", address)
		}
	}
}

// planted is a secret at every place where senders put them.
const planted = "s3cr3tPlantedValue77"

func letterBodies() map[string]string {
	params := fmt.Sprintf(`{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","repository":"acme/web","gitPass":%q,"nomadToken":%q,
		"command":"run --password=%s","nomadAddress":"http://user:%s@nomad:4646","unknownToken":%q,"cpu":"many",
		"build":{"buildArgs":{"NPM":%q},"registryPassword":%q},"configFiles":[{"path":"a","content":%q}],"startCommand":"x %s y","secretsPath":"kv/data/p/s"}`,
		planted, planted, planted, planted, planted, planted, planted, base64.StdEncoding.EncodeToString([]byte(planted)), planted)
	quoted, _ := json.Marshal(params)
	inBase64 := base64.StdEncoding.EncodeToString([]byte(params))
	whole := `{"task":"deploy-image","params":` + params + `}`
	return map[string]string{
		"an object":       whole,
		"a string":        `{"task":"deploy-image","params":` + string(quoted) + `}`,
		"base64":          `{"task":"deploy-image","params":"` + inBase64 + `"}`,
		"all in base64":   base64.StdEncoding.EncodeToString([]byte(whole)),
		"cut off":         whole[:len(whole)-40],
		"cut in a secret": whole[:strings.Index(whole, planted)+12],
		"cut base64":      `{"task":"deploy-image","params":"` + inBase64[:len(inBase64)-7] + `"}`,
		"cut in base64":   base64.StdEncoding.EncodeToString([]byte(whole))[:200],
		"cut string":      (`{"task":"deploy-image","params":` + string(quoted))[:300],
		"wrong types":     fmt.Sprintf(`{"task":"deploy-image","params":{"gitPass":{"a":[%q]},"accessToken":[%q],"build":{"buildArgs":%q}}}`, planted, planted, planted),
		"wrong case":      fmt.Sprintf(`{"task":"deploy-image","params":{"GITPASS":%q,"git_password":%q},"token":%q}`, planted, planted, planted),
		"a list":          fmt.Sprintf(`[{"gitPass":%q}]`, planted),
		"a text":          fmt.Sprintf(`%q`, planted),
		"an environment":  "JOB=web\nGIT_PASS=" + planted + "\nurl https://u:" + planted + "@host/x?sig=" + planted,
		"yaml":            "task: deploy-image\nparams:\n  gitPass: " + planted + "\n  jobId: web",
		"inside a string": fmt.Sprintf(`{"task":"deploy-image","params":{"command":"{\"password\":\"%s\"}","gitPass":"x"}}`, planted),
	}
}

func TestNoDeadLetterShowsItsSecrets(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	i := 0
	for name, body := range letterBodies() {
		i++
		id := fmt.Sprintf("id-%d", i)
		f.letter(id, f.topology.TaskSubject("deploy-image", "web", id), body, nats.Header{"Authorization": {"Bearer " + planted}, "X-Api-Key": {planted}, "X-Note": {"password=" + planted}})
		shown, err := json.MarshalIndent(f.desk.Masked(f.find(id)), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{planted, planted[:12], base64.StdEncoding.EncodeToString([]byte(planted))} {
			if strings.Contains(string(shown), secret) {
				t.Errorf("%s shows %q: %s", name, secret, shown)
			}
		}
		for at := range 3 { // a piece of the params' base64
			if piece := base64.StdEncoding.EncodeToString([]byte(planted)[at:])[:12]; strings.Contains(string(shown), piece) {
				t.Errorf("%s shows the secret in base64: %s", name, shown)
			}
		}
	}
}

func TestAMaskedLetterStillSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	f.ensure()
	f.letter("a", f.topology.TaskSubject("deploy-image", "web", "a"), letterBodies()["base64"], nil)
	v := f.desk.Masked(f.find("a"))
	for _, want := range []string{`"jobId":"web"`, `"secretsPath":"kv/data/p/s"`, `"nomadAddress":"http://nomad:4646"`, `"NPM":"***"`, `"gitPass":"***"`, `"cpu":"many"`} {
		if !strings.Contains(string(v.Body), want) {
			t.Errorf("the body has no %s: %s", want, v.Body)
		}
	}
}

// FuzzMask looks for bodies that show the secret of a field.
func FuzzMask(f *testing.F) {
	for _, body := range letterBodies() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		text := desk.MaskBody([]byte(body))
		var fields struct {
			Params struct {
				GitPass string `json:"gitPass"`
			} `json:"params"`
		}
		if json.Unmarshal([]byte(body), &fields) == nil && len(fields.Params.GitPass) > 8 && strings.Contains(text, fields.Params.GitPass) {
			t.Errorf("shows %q: %s", fields.Params.GitPass, text)
		}
	})
}
