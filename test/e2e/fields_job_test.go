//go:build e2e

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/nomad/api"
)

// TestRestartFieldsDecideHowOftenAnAppIsStarted counts the starts of an app
// that crashes at once.
func TestRestartFieldsDecideHowOftenAnAppIsStarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	repository := pushHello(t, "crashes", "1", "HELLO_CRASH=on purpose")
	for _, c := range []struct {
		name   string
		params params
		want   uint64
	}{
		{"never", params{"restartMode": "never", "restartAttempts": 5}, 0},
		{"once", params{"restartMode": "fail", "restartAttempts": 1}, 1},
		{"twice, as text", params{"restartMode": "fail", "restartAttempts": "2"}, 2},
		{"nothing said is three times", params{"restartMode": "", "restartAttempts": 0}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := image(t, "crashes", repository, "1").with(c.params).with(params{"update": params{"minHealthyTime": "1s", "healthyDeadline": "60s", "autoRevert": false}})
			w.failed(w.send(k), patience, "app_crashed", "watch")
			stubs, _, err := shared.nomad.Jobs().Allocations(k.job(), true, nil)
			if err != nil || len(stubs) == 0 {
				t.Fatalf("%d allocations: %v", len(stubs), err)
			}
			first := slices.MinFunc(stubs, func(a, b *api.AllocationListStub) int { return int(a.CreateIndex) - int(b.CreateIndex) })
			if got := first.TaskStates[k.params["deploymentId"].(string)].Restarts; got != c.want {
				t.Errorf("the app was restarted %d times, want %d", got, c.want)
			}
		})
	}
}

// TestUpdateFieldsReachNomad reads the update block back and looks at the
// canaries of a second version.
func TestUpdateFieldsReachNomad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	k := image(t, "update", pushHello(t, "update", "1"), "1").with(params{
		"replicaCount": 2,
		"update": params{
			"minHealthyTime": "1500ms", "healthyDeadline": "40s", "progressDeadline": "50s",
			"autoRevert": true, "autoPromote": true, "maxParallel": "2", "canary": 2,
		},
	})
	w.succeeded(w.send(k), patience)
	w.succeeded(w.send(k.again()), patience)

	u := readJob(t, k.job()).TaskGroups[0].Update
	got := fmt.Sprint(*u.MinHealthyTime, *u.HealthyDeadline, *u.ProgressDeadline, *u.AutoRevert, *u.AutoPromote, *u.MaxParallel, *u.Canary)
	if want := fmt.Sprint(1500*time.Millisecond, 40*time.Second, 50*time.Second, true, true, 2, 2); got != want {
		t.Errorf("the update block is %s, want %s", got, want)
	}
	deployment, _, err := shared.nomad.Jobs().LatestDeployment(k.job(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if state := deployment.TaskGroups[k.job()]; state.DesiredCanaries != 2 || !state.Promoted || !state.AutoRevert {
		t.Errorf("the second deployment is %+v, want two canaries, promoted", state)
	}
}

// TestJobTypes deploys what is no service.
func TestJobTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	t.Run("batch", func(t *testing.T) {
		t.Parallel()
		k := shell(t, "batch", params{"jobConfig": params{"type": "batch"}, "build": params{"startCommand": "echo done"}})
		s := w.send(k)
		w.succeeded(s, patience)
		if got := *readJob(t, k.job()).Type; got != "batch" || !slices.Contains(appLines(w, s), "done") {
			t.Errorf("a %s job that says %q", got, appLines(w, s))
		}
	})
	t.Run("system", func(t *testing.T) {
		t.Parallel()
		k := shell(t, "system", params{"jobConfig": params{"type": "system"}, "build": params{"startCommand": "exec sleep 600"}})
		w.succeeded(w.send(k), patience)
		if got := *readJob(t, k.job()).Type; got != "system" || len(allocations(t, k.job())) != 1 {
			t.Errorf("a %s job with %d allocations", got, len(allocations(t, k.job())))
		}
	})
	t.Run("cron", func(t *testing.T) {
		t.Parallel()
		k := shell(t, "cron", params{"jobConfig": params{"type": "batch", "cron": "0 3 1 1 *"}, "build": params{"startCommand": "echo done"}})
		w.succeeded(w.send(k), patience)
		periodic := readJob(t, k.job()).Periodic
		if periodic == nil || *periodic.Spec != "0 3 1 1 *" || !*periodic.ProhibitOverlap {
			t.Errorf("the job's periodic block is %+v", periodic)
		}
	})
	t.Run("cron of a service is refused", func(t *testing.T) {
		t.Parallel()
		k := shell(t, "cron", params{"jobConfig": params{"type": "service", "cron": "0 3 1 1 *"}, "build": params{"startCommand": "echo done"}})
		r := w.failed(w.send(k), patience, "job_rejected", "register")
		wantAll(t, "the failure", r.Message, "Periodic can only be used with")
	})
	t.Run("parameterized", func(t *testing.T) {
		t.Parallel()
		k := shell(t, "dispatched", params{
			"jobConfig": params{"type": "batch", "meta_required": []string{"NAME"}, "payload": "required"},
			"build":     params{"startCommand": `test "$NOMAD_META_NAME" = "a b"`},
		})
		w.succeeded(w.send(k), patience)
		wantDispatch(t, k.job())
	})
}

// wantDispatch starts a parameterized job and waits until it has ended well.
func wantDispatch(t *testing.T, job string) {
	t.Helper()
	if _, _, err := shared.nomad.Jobs().Dispatch(job, map[string]string{}, []byte("payload"), "", nil); err == nil {
		t.Error("it is dispatched without its meta")
	}
	dispatched, _, err := shared.nomad.Jobs().Dispatch(job, map[string]string{"NAME": "a b"}, []byte("payload"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the dispatched job has run", func() bool {
		stubs, _, err := shared.nomad.Jobs().Allocations(dispatched.DispatchedJobID, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(stubs) > 0 && stubs[0].ClientStatus == "failed" {
			t.Fatal("the dispatched job failed: it has not the meta that was given")
		}
		return len(stubs) > 0 && stubs[0].ClientStatus == "complete"
	})
}

// TestLinkedServicesReachTheEnvironment links an app with another one's address.
func TestLinkedServicesReachTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	other := image(t, "linked", pushHello(t, "linked", "1"), "1")
	w.succeeded(w.send(other), patience)
	service := other.job() + "-8080"
	found, _, err := shared.nomad.Services().Get(service, nil)
	if err != nil || len(found) != 1 {
		t.Fatalf("service %s has %d instances: %v", service, len(found), err)
	}
	host, port := found[0].Address, fmt.Sprint(found[0].Port)

	s := w.send(shell(t, "links", params{
		"consul": params{"linkedServices": []params{
			{"variableName": "DB", "consulServiceName": service},
			{"variableName": "DB_HOST", "consulServiceName": service},
			{"variableName": "PORT_OF_DB", "consulServiceName": service + "_PORT"},
		}},
		"templateStringVariables": []params{
			{"name": "URL", "pattern": "http://{{ .Address }}:{{ .Port }}/?a=${x}", "serviceName": service},
			{"name": "PLAIN", "pattern": `{{ key "x" }} "q"`},
		},
		"build": params{"startCommand": `env | sort | grep -E '^(DB|PORT_OF|URL|PLAIN)'; exec sleep 600`},
	}))
	w.succeeded(s, patience)
	got := slices.DeleteFunc(appLines(w, s), func(l string) bool { return !strings.Contains(l, "=") })
	want := []string{"DB=" + host + ":" + port, "DB_HOST=" + host, `PLAIN={{ key "x" }} "q"`, "PORT_OF_DB=" + port, "URL=http://" + host + ":" + port + "/?a=${x}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the app's environment (-want +got):\n%s\n%s", diff, w.logText(s))
	}
}
