//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/nomad/api"
)

// TestFieldsReachTheApp deploys an app with most of what a task can say of
// places, ports and names, and looks at the containers and the catalogue.
func TestFieldsReachTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	k := image(t, "fields", pushHello(t, "fields", "1"), "1")
	service := k.job() + "-svc"
	k = k.with(params{
		"replicaCount": 2, "cpu": 150, "ram": 40, "node_pool": "all", "regions": "de,fr", "projectId": "prj-f", "ownerId": "own-f",
		"consul": params{"serviceName": service}, "clusterDomain": "apps.example",
		"networks": []params{
			{
				"portNumber": 8080, "portType": "http", "public": true, "domain": "shop", "custom_domain": "www.shop.example",
				"has_health_check": "http", "health_check": params{"type": "http", "path": "/healthz", "interval": "1", "timeout": "2s"},
			},
			{"portNumber": 9000, "portType": "tcp", "public": true, "has_health_check": "none"},
			{"portNumber": 5353, "portType": "udp"},
		},
	})
	w.succeeded(w.send(k), patience)

	job := readJob(t, k.job())
	if got, want := *job.TaskGroups[0].Name, service; got != want {
		t.Errorf("the group is called %q, want %q", got, want)
	}
	if got := *job.NodePool; got != "all" {
		t.Errorf("the job's node pool is %q, want all", got)
	}
	wantCatalogue(t, job, service)
	running := allocations(t, k.job())
	if len(running) != 2 {
		t.Fatalf("%d allocations run, want 2", len(running))
	}
	for _, alloc := range running {
		wantContainer(t, k, containerOf(t, alloc.ID).ID, service)
		for _, port := range alloc.AllocatedResources.Shared.Ports {
			if port.To == 8080 {
				if got, want := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port.Value)), "hello from dev\n"; got != want {
					t.Errorf("the app answers %q, want %q", got, want)
				}
			}
		}
	}
}

// wantContainer looks at what Docker was asked for.
func wantContainer(t *testing.T, k task, id, group string) {
	t.Helper()
	c := inspect(t, id)
	deployment := k.params["deploymentId"].(string)
	want := map[string]string{
		"job": k.job(), "group": group, "task": deployment, "alloc_id": deployment,
		"user_id": "own-f", "project_id": "prj-f", "service_id": "srv-1",
	}
	for name, value := range want {
		if got := c.Config.Labels[name]; got != value {
			t.Errorf("the label %s is %q, want %q", name, got, value)
		}
	}
	const mib = 1 << 20
	if h := c.HostConfig; h.CPUShares != 150 || h.MemoryReservation != 40*mib || h.Memory != 512*mib {
		t.Errorf("resources are %+v, want 150 MHz, 40 MiB reserved and 512 MiB at most", h)
	}
}

// wantCatalogue compares names, tags and checks of the services.
func wantCatalogue(t *testing.T, job *api.Job, name string) {
	t.Helper()
	got := map[string][]string{}
	for _, s := range job.TaskGroups[0].Services {
		found, _, err := shared.nomad.Services().Get(s.Name, nil)
		if err != nil || len(found) != 2 {
			t.Errorf("service %s has %d instances: %v, want 2", s.Name, len(found), err)
			continue
		}
		got[s.Name] = found[0].Tags
	}
	want := map[string][]string{
		name + "-8080": {"blue", "urlprefix-shop.apps.example", "custom-www.shop.example"},
		name + "-9000": {"blue", "tcp-lb"},
		name + "-5353": {"blue"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("services and their tags (-want +got):\n%s", diff)
	}
	check := job.TaskGroups[0].Services[0].Checks[0]
	if check.Type != "http" || check.Path != "/healthz" || check.Interval.String() != "1s" || check.Timeout.String() != "2s" {
		t.Errorf("the check is %+v", check)
	}
}

// shell is an app of the image with a shell. It listens on nothing.
func shell(t *testing.T, name string, more params) task {
	t.Helper()
	repository, tag := shared.base[:strings.LastIndex(shared.base, ":")], "latest"
	k := image(t, name, repository, tag)
	delete(k.params, "networks")
	return k.with(more)
}

// TestFieldsDecideWhatTheContainerRuns compares what the app says itself.
func TestFieldsDecideWhatTheContainerRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	const stay = "; exec sleep 600"
	for _, c := range []struct {
		name   string
		params params
		want   string
	}{
		{
			"a start command that means something to everybody on its way",
			params{"build": params{"startCommand": `echo 'A=${attr.unique.hostname} %{x} %{ if true } "d" {{ key "x" }} [[ x ]] $${y} \n'` + stay}},
			`A=${attr.unique.hostname} %{x} %{ if true } "d" {{ key "x" }} [[ x ]] $${y} \n`,
		},
		{
			"exports before a start command",
			params{"vaultLinkedSecrets": []params{{"secret": "A", "template": `'a ${x}'`}, {"secret": "B", "template": `"$A b"`}}, "build": params{"startCommand": `echo "<$B>"` + stay}},
			"<a ${x} b>",
		},
		{
			"exports before a command",
			params{"vaultLinkedSecrets": []params{{"secret": "A", "template": "1"}}, "command": `echo "<$A>"` + stay},
			"<1>",
		},
		{
			"an entrypoint with a command and a line",
			params{"entrypoint": []string{"/bin/sh", "-c", `echo "<$0 $1>"` + stay}, "command": "one", "build": params{"startCommand": "two ${three}"}},
			"<one two ${three}>",
		},
		{"a user", params{"docker_user": "65534", "build": params{"startCommand": `echo "<$(id -un)>"` + stay}}, "<nobody>"},
		{"root, where no user is named", params{"build": params{"startCommand": `echo "<$(id -u)>"` + stay}}, "<0>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := w.send(shell(t, "runs", c.params))
			w.succeeded(s, patience)
			if lines := appLines(w, s); !slices.Contains(lines, c.want) {
				t.Errorf("the app says %q, want %q", lines, c.want)
			}
		})
	}
	t.Run("a command alone", func(t *testing.T) {
		k := shell(t, "command", params{"command": "/bin/nowhere"})
		r := w.failed(w.send(k), patience, "app_crashed", "watch")
		if !strings.Contains(r.Message, "command does not exist") {
			t.Errorf("the failure says %q", r.Message)
		}
	})
}

// appLines are the lines of the log that the app itself has said.
func appLines(w *world, s *sent) []string {
	lines, _ := w.log(s)
	var found []string
	for _, l := range lines {
		if _, said, ok := strings.Cut(l.Content, " "+s.deployment+": "); ok && strings.HasPrefix(l.Content, "alloc ") {
			found = append(found, said)
		}
	}
	return found
}

// TestFilesArriveAsTheyWere compares files byte for byte.
func TestFilesArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	var every []byte
	for i := range 256 {
		every = append(every, byte(i))
	}
	contents := map[string]string{
		"etc/app/hostile.txt": hostile + "\n{{ key \"x\" }} {{- end }} `back` \r\n",
		"etc/app/every.bin":   string(every),
		"srv/empty":           "",
		"local/direct.txt":    "in the task's own directory\n",
		"large.txt":           strings.Repeat("0123456789abcdef\n", 8<<10),
	}
	var sent []params
	for path, content := range contents {
		sent = append(sent, params{"path": path, "content": base64.StdEncoding.EncodeToString([]byte(content))})
	}
	k := image(t, "files", pushHello(t, "files", "1"), "1").with(params{"configFiles": sent})
	w.succeeded(w.send(k), patience)
	container := containerOf(t, allocations(t, k.job())[0].ID).ID
	for path, want := range contents {
		if got := readContainerFile(t, container, "/"+path); got != want {
			t.Errorf("/%s has %d bytes, want %d: %.60q", path, len(got), len(want), got)
		}
	}
}
