package tasks_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// planted stands in the fuzz inputs where a secret may stand. It is too odd to
// be a part of any message of ours.
const planted = "PLANTED"

// FuzzDecode holds for every body and subject: no panic, the same answer twice,
// a valid id where the task is accepted, and no secret of the task in a message.
func FuzzDecode(f *testing.F) {
	f.Add(bodyOf("deploy-image", imageParams), "deploy-image", "shop", "t-1")
	f.Add(bodyOf("deploy-repository", withField(repositoryParams, `"gitPass":"PLANTED","cpu":"PLANTED"`)), "", "", "")
	f.Add(bodyOf("destroy-job-pack", destroyParams), "destroy-job-pack", "cart", "t-2")
	f.Add([]byte(`{"task":"deploy-image","params":"e30="}`), "deploy-image", "", "a.b")
	f.Fuzz(func(t *testing.T, body []byte, kind, target, id string) {
		const secret = "Zq7#planted#7qZ"
		msg := tasks.Message{
			Body:    []byte(strings.ReplaceAll(string(body), planted, secret)),
			Subject: tasks.SubjectParts{Kind: kind, Target: target, ID: id},
		}
		task, err := tasks.Decode(msg)
		again, errAgain := tasks.Decode(msg)
		if diff := cmp.Diff(task, again); diff != "" {
			t.Errorf("two answers:\n%s", diff)
		}
		if err == nil {
			checkAccepted(t, task, msg)
			return
		}
		checkRefused(t, task, err)
		if errAgain == nil || err.Error() != errAgain.Error() {
			t.Errorf("two errors: %v, %v", err, errAgain)
		}
	})
}

func checkAccepted(t *testing.T, task tasks.Task, msg tasks.Message) {
	t.Helper()
	if !tasks.ValidID(task.ID) || (task.Deploy == nil) == (task.Destroy == nil) || len(task.Targets()) == 0 {
		t.Errorf("accepted %v", task)
	}
	if task.Deploy != nil && !task.Identified() {
		t.Errorf("accepted without an identity: %v", task)
	}
	own := task.Subject()
	for _, pair := range [][2]string{{msg.Subject.Kind, own.Kind}, {msg.Subject.ID, own.ID}, {msg.Subject.Target, own.Target}} {
		if pair[0] != "" && pair[0] != pair[1] {
			t.Errorf("accepted under %+v, its own subject is %+v", msg.Subject, own)
		}
	}
}

func checkRefused(t *testing.T, task tasks.Task, err error) {
	t.Helper()
	failure := tasks.AsFailure(err)
	switch failure.Reason {
	case tasks.ReasonInvalidTask, tasks.ReasonSubjectMismatch, tasks.ReasonTaskTooLarge:
	default:
		t.Errorf("reason %s", failure.Reason)
	}
	if strings.ContainsAny(failure.Error(), "\n\x00") {
		t.Errorf("not one line: %q", failure.Error())
	}
	for _, secret := range task.Secrets() {
		// A short one may be a part of our own words.
		if strings.Contains(secret, "#planted#") && strings.Contains(failure.Error(), secret) {
			t.Errorf("shows a secret: %q", failure.Error())
		}
	}
}
