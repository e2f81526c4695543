//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The files that operators start from.
const (
	serviceJob   = "../../deploy/nomad/dispatchd.nomad.hcl"
	buildkitdJob = "../../deploy/nomad/buildkitd.nomad.hcl"
	legacyJob    = "../../deploy/nomad/legacy-dispatch.nomad.hcl"
	policyFile   = "../../deploy/nomad/dispatchd.policy.hcl"
)

// nomadCLI runs Nomad's own command line, as an operator does.
func nomadCLI(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	// The logs of a job are read after a test's end, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.bed.Tools.Nomad, args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR="+shared.bed.Nomad.Addr(), "NOMAD_TOKEN="+shared.bed.Nomad.Token())
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// vars are -var flags.
type vars map[string]string

func (v vars) flags() []string {
	var all []string
	for name, value := range v {
		all = append(all, "-var", name+"="+value)
	}
	return all
}

// runJob registers a job file with nomad job run, which waits for the deployment
// where there is one, and stops the job at the end of the test.
func runJob(t *testing.T, file, job string, v vars) {
	t.Helper()
	v["job_name"] = job
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(jobLogs(t, job))
		}
		stopJob(t, job)
	})
	if code, out := nomadCLI(t, append(append([]string{"job", "run"}, v.flags()...), file)...); code != 0 {
		t.Fatalf("nomad job run %s ended with %d:\n%s\n%s", file, code, out, jobLogs(t, job))
	}
}

// stopJob waits until nothing of the job runs any more.
func stopJob(t *testing.T, job string) {
	t.Helper()
	if _, _, err := shared.nomad.Jobs().Deregister(job, false, nil); err != nil {
		t.Error(err)
	}
	eventually(t, time.Minute, "job "+job+" has stopped", func() bool {
		stubs, _, err := shared.nomad.Jobs().Allocations(job, true, nil)
		if err != nil {
			t.Error(err)
			return true
		}
		for _, stub := range stubs {
			if stub.ClientStatus == api.AllocClientStatusRunning || stub.ClientStatus == api.AllocClientStatusPending {
				return false
			}
		}
		return true
	})
}

// jobLogs is what the job's tasks have said.
func jobLogs(t *testing.T, job string) string {
	t.Helper()
	stubs, _, err := shared.nomad.Jobs().Allocations(job, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, stub := range stubs {
		_, text := nomadCLI(t, "alloc", "status", stub.ID)
		all.WriteString(text)
		for _, flag := range []string{"-stdout", "-stderr"} {
			_, text := nomadCLI(t, "alloc", "logs", flag, stub.ID)
			all.WriteString(text)
		}
	}
	return all.String()
}

// TestShippedJobFilesAreTakenByNomad validates and plans each file, for each way
// of running it.
func TestShippedJobFilesAreTakenByNomad(t *testing.T) {
	t.Parallel()
	for _, file := range []string{serviceJob, buildkitdJob, legacyJob} {
		for _, driver := range []string{"docker", "raw_exec"} {
			t.Run(filepath.Base(file)+" "+driver, func(t *testing.T) {
				t.Parallel()
				flags := vars{"driver": driver}.flags()
				if code, out := nomadCLI(t, append(append([]string{"job", "validate"}, flags...), file)...); code != 0 || strings.Contains(out, "Warning") {
					t.Errorf("validate ended with %d:\n%s", code, out)
				}
				// 1 says that the job would be new.
				if code, out := nomadCLI(t, append(append([]string{"job", "plan"}, flags...), file)...); code != 1 || strings.Contains(out, "FAILED") {
					t.Errorf("plan ended with %d:\n%s", code, out)
				}
			})
		}
	}
	if _, out := nomadCLI(t, "job", "run", "-output", serviceJob); !strings.Contains(out, `sum(dispatchd_worker_slots_busy)) / 4)`) {
		t.Errorf("the job asks the autoscaler for something else:\n%s", out)
	}
}

// TestShippedJobsDeployOnNomad runs buildkitd and dispatchd from their files, with
// the images and as programs, under the shipped rights of NATS and Nomad, and
// has them deploy a repository.
func TestShippedJobsDeployOnNomad(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"docker", "raw_exec"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, driver)
			k := repository(t, "from-inside", "acme/app")
			p.world.succeeded(p.world.send(k), patience)
			if got, want := answer(t, k.job()), "hello from 1\n"; got != want {
				t.Errorf("the app answers %q, want %q", got, want)
			}
			if text := jobLogs(t, p.job); strings.Contains(text, "does not permit") || !strings.Contains(text, "task settled") {
				t.Errorf("the workers said:\n%s", text)
			}
			p.wantAnswers()
			if driver == "docker" {
				p.wantUser("65532:65532")
			}
		})
	}
}

// TestShippedDispatchJobRunsTheImage dispatches a task to the file for backends
// that dispatch, with the image. What it clones needs a deploy key, a submodule
// and LFS, and the image has neither a shell nor git's scripts nor git-lfs.
func TestShippedDispatchJobRunsTheImage(t *testing.T) {
	t.Parallel()
	s, env, k := appOfParts(t)
	// The container's user reads it.
	if err := os.Chmod(s.hosts, 0o644); err != nil {
		t.Fatal(err)
	}
	// The image's user may use the socket that this job makes, not the bed's.
	socket := startBuildkitd(t, "raw_exec")
	w := newWorld(t, worldOptions{env: append(env, "BUILDKIT_HOST=unix://"+socket)})
	p := &platform{t: t, world: w, job: newName("legacy")}
	p.settings(workerSettings(w))
	plain, _ := shippedImages(t)
	runJob(t, legacyJob, p.job, vars{
		"image": plain, "settings": "nomad/jobs/" + p.job, "network_mode": "host", "disk": "256", "memory": "128",
		"volumes": fmt.Sprintf("[%q, %q]", s.hosts+":"+s.hosts, filepath.Dir(socket)+":"+filepath.Dir(socket)),
	})
	id := dispatch(t, p.job, k)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(jobLogs(t, id))
		}
	})
	k.id = id[strings.LastIndex(id, "/")+1:]
	if code := exitCode(t, id); code != 0 {
		t.Errorf("Nomad sees exit code %d, want 0", code)
	}
	w.succeeded(w.expect(k), 10*time.Second)
	if got, want := answer(t, k.job()), "hello from 1\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
}

// platform is a Nomad with both jobs, and a world of tasks.
type platform struct {
	t     *testing.T
	world *world
	job   string
}

func newPlatform(t *testing.T, driver string) *platform {
	t.Helper()
	source := newSource(t, running(t, "1", "echo built on a job of its own"))
	// The backend's streams have other names here.
	text := strings.NewReplacer("BUILD_LOGS", "BACKEND_LOGS", "DEPLOYMENTS", "BACKEND_DEPLOYMENTS").Replace(readFile(t, permissionsFile))
	server, seeds := serverWithRights(t, text)
	w := newWorld(t, worldOptions{server: server.ClientURL(), login: []nats.Option{admin()}, noPrefix: true})
	if err := queue.EnsureService(brief(t), w.nc, w.js, queue.Topology{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	socket := startBuildkitd(t, driver)
	p := &platform{t: t, world: w, job: newName("dispatchd")}
	p.settings(map[string]string{
		"NATS_SERVERS": server.ClientURL(), "NATS_CLIENT_PRIVATE_KEY": seeds["WORKER"],
		"NOMAD_ADDR": shared.bed.Nomad.Addr(), "NOMAD_TOKEN": policyToken(t, readFile(t, policyFile)),
		"DISPATCHD_REGISTRY": shared.bed.Registry.Addr() + "/apps", "REGISTRY_USERNAME": shared.bed.Login.Username, "REGISTRY_PASSWORD": shared.bed.Login.Password,
		"DISPATCHD_GITHUB_URL": source.url, "BUILDKIT_HOST": "unix://" + socket,
	})
	v := vars{
		"driver": driver, "settings": "nomad/jobs/" + p.job, "network_mode": "host", "program": shared.binary, "disk": "512", "min_healthy_time": "1s",
		"memory": "128", "volumes": `["` + filepath.Dir(socket) + ":" + filepath.Dir(socket) + `"]`,
	}
	if driver == "docker" {
		v["image"], _ = shippedImages(t)
	}
	runJob(t, serviceJob, p.job, v)
	return p
}

func newName(name string) string { return name + "-" + strings.ToLower(tasks.NewID()[:6]) }

// settings writes the Nomad variable that the job reads.
func (p *platform) settings(items map[string]string) {
	p.t.Helper()
	variable := &api.Variable{Path: "nomad/jobs/" + p.job, Items: items}
	if _, _, err := shared.nomad.Variables().Create(variable, nil); err != nil {
		p.t.Fatal(err)
	}
}

// wantAnswers asks every worker on the port of its service.
func (p *platform) wantAnswers() {
	p.t.Helper()
	services, _, err := shared.nomad.Services().Get(p.job, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(services) != 2 {
		p.t.Errorf("the service has %d instances, want 2", len(services))
	}
	for _, s := range services {
		address := "http://" + s.Address + ":" + itoa(s.Port)
		wantAll(p.t, "/readyz", get(p.t, address+"/readyz"), "ready")
		wantAll(p.t, "/metrics", get(p.t, address+"/metrics"), "dispatchd_worker_slots 4")
	}
}

// wantUser looks at the containers of the workers.
func (p *platform) wantUser(user string) {
	p.t.Helper()
	for _, alloc := range allocations(p.t, p.job) {
		var container struct {
			Config     struct{ User string }
			HostConfig struct{ ReadonlyRootfs, Privileged bool }
		}
		newEngine().call(p.t, "GET", "/containers/"+containerOf(p.t, alloc.ID).ID+"/json", nil, &container)
		if container.Config.User != user || !container.HostConfig.ReadonlyRootfs || container.HostConfig.Privileged {
			p.t.Errorf("a worker's container is %+v, want the user %s, a read-only root and no privileges", container, user)
		}
	}
}
