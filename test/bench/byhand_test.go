//go:build e2e

package bench_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// byHand does what a script would do: clone, build and push or look the digest
// up, let Nomad parse and register the job, and follow it until it is healthy.
// The job's HCL is rendered before, and only the digest is put in.
func (s *site) byHand(b *testing.B, builder string) timing {
	b.Helper()
	job, _, body := s.newTask(builder)
	defer s.remove(b, job)
	hcl := s.render(b, body)
	dir, config := filepath.Join(b.TempDir(), "source"), s.dockerConfig(b)

	began := time.Now()
	s.clone(b, dir)
	var digest string
	if builder == "noop" {
		digest = s.lookUp(b)
	} else {
		digest = s.build(b, dir, config)
	}
	pinned := strings.ReplaceAll(hcl, s.image()+":"+imageTag, s.image()+"@"+digest)
	s.register(b, pinned)
	s.follow(b, job)
	healthy := time.Since(began)
	return timing{s.submitted(b, job).Sub(began), healthy}
}

// render returns the job that dispatchd makes of the task.
func (s *site) render(b *testing.B, body []byte) string {
	b.Helper()
	cmd := exec.Command(binary(b), "render", "-")
	cmd.Env, cmd.Stdin = s.env, bytes.NewReader(body)
	_, job, found := strings.Cut(output(b, cmd), "\n# job\n")
	if !found {
		b.Fatal("render printed no job")
	}
	return job
}

// basic is the header of the bed's user.
func (s *site) basic() string {
	login := s.bed.Git.Login()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password))
}

func (s *site) clone(b *testing.B, dir string) {
	b.Helper()
	cmd := exec.Command("git", "clone", "--quiet", "--depth=1", "--single-branch", "--branch=main",
		s.bed.Git.Addr()+"/"+repositoryName+".git", dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: "+s.basic())
	output(b, cmd)
}

// dockerConfig is where buildctl finds the registry's user and password.
func (s *site) dockerConfig(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.bed.Registry.Addr(), strings.TrimPrefix(s.basic(), "Basic "))
	must(b, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	return dir
}

func (s *site) build(b *testing.B, dir, config string) string {
	b.Helper()
	metadata := filepath.Join(config, "metadata.json")
	cmd := exec.Command(s.bed.Tools.BuildCtl, "--addr", s.bed.BuildKit.Addr(), "build", "--progress=plain",
		"--frontend=dockerfile.v0", "--local=context="+dir, "--local=dockerfile="+dir, "--metadata-file="+metadata,
		"--output=type=image,name="+s.image()+":"+imageTag+",push=true")
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+config)
	output(b, cmd)
	text, err := os.ReadFile(metadata)
	must(b, err)
	var built struct {
		Digest string `json:"containerimage.digest"`
	}
	must(b, json.Unmarshal(text, &built))
	return built.Digest
}

// lookUp asks the registry which digest the tag has.
func (s *site) lookUp(b *testing.B) string {
	b.Helper()
	req, err := http.NewRequestWithContext(brief(b), http.MethodHead,
		"http://"+s.bed.Registry.Addr()+"/v2/apps/"+imageName+"/manifests/"+imageTag, nil)
	must(b, err)
	req.Header.Set("Authorization", s.basic())
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	res, err := http.DefaultClient.Do(req)
	must(b, err)
	_ = res.Body.Close()
	digest := res.Header.Get("Docker-Content-Digest")
	if digest == "" {
		b.Fatalf("the registry answers %s without a digest", res.Status)
	}
	return digest
}

func (s *site) register(b *testing.B, hcl string) {
	b.Helper()
	request, err := json.Marshal(map[string]string{"JobHCL": hcl})
	must(b, err)
	var job json.RawMessage
	must(b, s.bed.Nomad.Call(brief(b), http.MethodPost, "/v1/jobs/parse", bytes.NewReader(request), &job))
	request, err = json.Marshal(map[string]any{"Job": job})
	must(b, err)
	must(b, s.bed.Nomad.Call(brief(b), http.MethodPost, "/v1/jobs", bytes.NewReader(request), nil))
}

// follow waits with blocking queries until the job's deployment is successful.
func (s *site) follow(b *testing.B, job string) {
	b.Helper()
	index := "0"
	for until := time.Now().Add(90 * time.Second); time.Now().Before(until); {
		res, err := http.Get(s.bed.Nomad.Addr() + "/v1/job/" + job + "/deployment?wait=30s&index=" + index)
		must(b, err)
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		must(b, err)
		index = res.Header.Get("X-Nomad-Index")
		var deployment *struct{ Status, StatusDescription string }
		must(b, json.Unmarshal(text, &deployment))
		switch {
		case deployment == nil:
		case deployment.Status == "successful":
			return
		case deployment.Status != "running":
			b.Fatalf("the deployment by hand is %s: %s", deployment.Status, deployment.StatusDescription)
		}
	}
	b.Fatal("the deployment by hand did not become healthy")
}

// output runs a command to its end and returns what it printed.
func output(b *testing.B, cmd *exec.Cmd) string {
	b.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v: %s", filepath.Base(cmd.Path), err, errs.String())
	}
	return out.String()
}
