//go:build e2e

package e2e_test

import (
	"testing"
)

// TestCloneFailuresHaveReasonsOfTheirOwn: what the customer has to change
// differs, and so does the reason.
func TestCloneFailuresHaveReasonsOfTheirOwn(t *testing.T) {
	t.Parallel()
	source := newSource(t, map[string]string{"README.md": "hello\n"})
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	w.start()
	for _, c := range []struct {
		name, reason string
		change       params
		says         []string
	}{
		{"wrong token", "git_auth", params{"gitPass": "not-the-token"}, []string{"acme/app@main"}},
		{"unknown repository", "git_not_found", params{"repository": "acme/nothing"}, []string{"acme/nothing@main"}},
		{"unknown branch", "git_ref_not_found", params{"branch": "feature/x"}, []string{"acme/app@feature/x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.send(repository(t, "no-clone", "acme/app").with(c.change))
			r := w.failed(s, patience, c.reason, "clone")
			wantAll(t, "the failure", r.Message, c.says...)
			wantAll(t, "the log", w.logText(s), "clone: ")
		})
	}
}

// TestTwoProvidersEachTakeTheirOwnTokenAlone runs both at once, and then each
// with the other's token.
func TestTwoProvidersEachTakeTheirOwnTokenAlone(t *testing.T) {
	t.Parallel()
	hub, lab := newProvider(t), newProvider(t)
	files := running(t, "1", "true")
	hub.private("acme/app", "token-of-the-hub", files)
	lab.private("acme/group/app", "token-of-the-lab", files)
	w := newWorld(t, worldOptions{env: []string{github(hub), "DISPATCHD_GITLAB_URL=" + lab.url}})
	w.start()
	// Neither is deployed: the matter is the clone.
	onHub := repository(t, "on-hub", "acme/app").with(params{"gitPass": "token-of-the-hub", "deploy": "noop"})
	onLab := repository(t, "on-lab", "acme/group/app").with(params{"gitPass": "token-of-the-lab", "provider": "gitlab", "deploy": "noop"})
	first, second := w.send(onHub), w.send(onLab)
	w.succeeded(first, patience)
	w.succeeded(second, patience)

	crossed := w.send(onHub.again().with(params{"gitPass": "token-of-the-lab"}))
	w.failed(crossed, patience, "git_auth", "clone")
	crossed = w.send(onLab.again().with(params{"gitPass": "token-of-the-hub"}))
	w.failed(crossed, patience, "git_auth", "clone")
}
