//go:build e2e

package bench_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/test/testbed"
)

// deployments is how often each way deploys, after one that warms every cache.
const deployments = 5

const (
	repositoryName = "bench/hello"
	imageName      = "bench/hello"
	imageTag       = "1"
)

// BenchmarkDeployment deploys the sample in turns: through the service, and by
// hand with git, buildctl and Nomad's API. Every deployment is a new job.
func BenchmarkDeployment(b *testing.B) {
	if err := testbed.CheckHost(); err != nil {
		b.Skip(err)
	}
	s := newSite(b)
	s.measureMemory(b)
	for _, builder := range []string{"csdocker", "noop"} {
		b.Run(builder, func(b *testing.B) { s.compare(b, builder) })
	}
}

// site is a bed with a running service and the sample's repository.
type site struct {
	bed      *testbed.Bed
	platform *platform
	service  *service
	env      []string
	ended    chan *nats.Msg
	jobs     int
}

func newSite(b *testing.B) *site {
	b.Helper()
	bed, err := testbed.Start(b.Context(), testbed.Options{
		Need: testbed.NeedAll &^ testbed.NeedNATS, Log: os.Stderr, Login: testbed.Login{Username: testbed.GitUser},
	})
	must(b, err)
	b.Cleanup(func() { must(b, bed.Close()) })
	files, err := testbed.SampleRepository(b.Context(), testbed.Sample{})
	must(b, err)
	_, err = bed.Git.Publish(b.Context(), repositoryName, "The sample", files)
	must(b, err)
	s := &site{bed: bed, platform: newPlatform(b, startServer(b), "site"), ended: make(chan *nats.Msg, 8)}
	for _, subject := range []string{"deployment.succeeded", "deployment.failed"} {
		_, err := s.platform.nc.ChanSubscribe(s.platform.subject(subject), s.ended)
		must(b, err)
	}
	s.env = s.platform.environ(b, append(bed.Env(),
		"DISPATCHD_REGISTRY="+bed.Registry.Addr()+"/apps", "DISPATCHD_GITHUB_URL="+bed.Git.Addr())...)
	s.service = startService(b, s.env)
	return s
}

// measureMemory looks at the service before, during and after its first deployment.
func (s *site) measureMemory(b *testing.B) {
	b.Helper()
	rest(b, 3*time.Second)
	idle := s.service.memory(b, "VmRSS")
	s.service.forgetPeak(b)
	s.byDispatchd(b, "csdocker")
	peak, after := s.service.memory(b, "VmHWM"), s.service.memory(b, "VmRSS")
	results.judge("memory of the idle service", mb(idle), "< 40 MB", idle < 40e6)
	results.judge("memory that a deployment adds", fmt.Sprintf("%s at most, %s afterwards", mb(peak-idle), mb(after-idle)), "< 60 MB", peak-idle < 60e6)
}

// timing is how long one deployment took, from the task to the job's
// registration and to its health.
type timing struct{ registered, healthy time.Duration }

// compare lets the two ways take turns; who begins changes each round.
func (s *site) compare(b *testing.B, builder string) {
	ways := []func(*testing.B, string) timing{s.byDispatchd, s.byHand}
	ways[0](b, builder)
	ways[1](b, builder)
	var registered, healthy [2][]time.Duration
	for b.Loop() {
		for round := range deployments {
			for turn := range ways {
				who := (turn + round) % len(ways)
				t := ways[who](b, builder)
				registered[who], healthy[who] = append(registered[who], t.registered), append(healthy[who], t.healthy)
			}
		}
	}
	for who, name := range []string{"dispatchd", "by hand"} {
		results.note("deployment, "+builder+": "+name, "healthy after %s, registered after %s", ms(median(healthy[who])), ms(median(registered[who])))
	}
	ratio := float64(median(healthy[0])) / float64(median(healthy[1]))
	more := median(healthy[0]) - median(healthy[1])
	results.judge("deployment, "+builder+": dispatchd beside by hand", fmt.Sprintf("%.2f, %s more", ratio, ms(more)),
		"≤ 1.05 and ≤ 300 ms more", ratio <= 1.05 && more <= 300*time.Millisecond)
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(float64(more.Milliseconds()), "ms-more")
}

// newTask is a deployment of the sample as a job of its own.
func (s *site) newTask(builder string) (job, id string, body []byte) {
	s.jobs++
	job, id = fmt.Sprintf("bench-%d", s.jobs), tasks.NewID()
	image := imageName
	if builder == "noop" {
		image = s.image()
	}
	body, _ = json.Marshal(map[string]any{"task": "deploy-repository", "params": map[string]any{
		"jobId": job, "deploymentId": id, "deploymentJobId": 1, "serviceId": "srv-1", "imageName": image, "imageTag": imageTag,
		"repository": repositoryName, "branch": "main", "provider": "github", "gitPass": s.bed.Git.Login().Password,
		"build": map[string]any{"builder": builder}, "cpu": 100, "ram": 64, "restartMode": "never",
		"networks": []any{map[string]any{
			"portNumber": 8080, "portType": "http", "has_health_check": "http",
			"health_check": map[string]any{"type": "http", "path": "/healthz", "interval": "1s", "timeout": "1s", "port": 8080},
		}},
		"update": map[string]any{"minHealthyTime": "1s", "healthyDeadline": "15s", "progressDeadline": "30s"},
	}})
	return job, id, body
}

// image is the full name of what the sample is pushed as.
func (s *site) image() string { return s.bed.Registry.Addr() + "/apps/" + imageName }

// byDispatchd publishes a task and waits for its outcome.
func (s *site) byDispatchd(b *testing.B, builder string) timing {
	b.Helper()
	job, id, body := s.newTask(builder)
	defer s.remove(b, job)
	began := time.Now()
	_, err := s.platform.js.Publish(brief(b), s.platform.topology.TaskSubject("deploy-repository", job, id), body)
	must(b, err)
	var outcome *nats.Msg
	select {
	case outcome = <-s.ended:
	case <-time.After(90 * time.Second):
		b.Fatal("no outcome")
	}
	healthy := time.Since(began)
	if reason := outcome.Header.Get("Dispatch-Error"); reason != "" {
		b.Fatalf("the deployment failed: %s", reason)
	}
	return timing{s.submitted(b, job).Sub(began), healthy}
}

// submitted is when Nomad took the job, by the clock that we share with it.
func (s *site) submitted(b *testing.B, job string) time.Time {
	b.Helper()
	var answer struct{ SubmitTime int64 }
	must(b, s.bed.Nomad.Call(brief(b), http.MethodGet, "/v1/job/"+job, nil, &answer))
	return time.Unix(0, answer.SubmitTime)
}

// remove stops the job and waits until nothing of it runs, so that every
// deployment finds the same quiet cluster.
func (s *site) remove(b *testing.B, job string) {
	b.Helper()
	must(b, s.bed.Nomad.Call(brief(b), http.MethodDelete, "/v1/job/"+job+"?purge=true", nil, nil))
	eventually(b, 30*time.Second, "job "+job+" is gone", func() bool {
		var allocations []struct{ ClientStatus string }
		must(b, s.bed.Nomad.Call(brief(b), http.MethodGet, "/v1/job/"+job+"/allocations", nil, &allocations))
		for _, a := range allocations {
			if a.ClientStatus == "running" || a.ClientStatus == "pending" {
				return false
			}
		}
		return true
	})
}
