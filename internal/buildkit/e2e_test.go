//go:build e2e

package buildkit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// asTestUser reads with the test user's credentials.
func asTestUser() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: testUser, Password: testPassword})
}

// here are the platforms of what is built for this machine.
var here = []string{"linux/" + runtime.GOARCH}

// request asks for app:v1 in the registry, made of the files.
func request(t testing.TB, registry *testRegistry, files map[string]string) tasks.BuildRequest {
	t.Helper()
	return tasks.BuildRequest{
		Builder: tasks.BuilderDocker, Dir: writeTree(t, files),
		Name: registry.host + "/app", Tag: "v1", Push: true, Credentials: goodCredentials,
	}
}

func mustBuild(t testing.TB, req tasks.BuildRequest) (tasks.Image, *recorder) {
	t.Helper()
	rep := newRecorder()
	image, err := daemon(t).Build(t.Context(), req, rep)
	if err != nil {
		t.Fatalf("%v\n%s", err, rep.Log())
	}
	return image, rep
}

func TestBuildPushesWithCredentials(t *testing.T) {
	t.Parallel()
	for kind, tc := range map[string]struct {
		wrap  func(*testRegistry, http.Handler) http.Handler
		creds tasks.Credentials
	}{
		"open":         {nil, noCredentials},
		"basic":        {basicAuth, goodCredentials},
		"bearer":       {bearerAuth, goodCredentials},
		"bearer token": {bearerAuth, tasks.Credentials{Token: testToken}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			registry := newRegistry(t, tc.wrap)
			req := request(t, registry, map[string]string{
				"Dockerfile": "FROM scratch\nARG VERSION=none\nLABEL version=$VERSION\nCOPY hello /\nEXPOSE 8080 53/udp\nENV SECRETS=none\n",
				"hello":      "hi " + kind,
			})
			req.Credentials = tc.creds
			req.BuildArgs = map[string]string{"VERSION": "1.2.3"}
			image, rep := mustBuild(t, req)
			checkBuilt(t, registry, image, rep, kind)
		})
	}
}

func checkBuilt(t *testing.T, registry *testRegistry, image tasks.Image, rep *recorder, kind string) {
	t.Helper()
	want := tasks.Image{Name: registry.host + "/app", Tag: "v1", Digest: image.Digest, Ports: []tasks.Port{{Number: 53, Protocol: "udp"}, {Number: 8080, Protocol: "tcp"}}, Platforms: here}
	if diff := cmp.Diff(want, image); diff != "" || image.Digest == "" {
		t.Fatal(diff)
	}
	pulled := pull(t, image, asTestUser())
	manifest, err := pulled.Manifest()
	if err != nil || !manifest.MediaType.IsImage() {
		t.Fatalf("the digest is a %s, want one plain manifest: %v", manifest.MediaType, err)
	}
	config, err := pulled.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), `"version":"1.2.3"`) {
		t.Errorf("the build argument is not in the label: %s", config)
	}
	if got := filesOf(t, pulled)["hello"]; got != "hi "+kind {
		t.Errorf("got file %q", got)
	}
	everything := string(config) + rep.Log() + fmt.Sprint(manifest)
	for _, secret := range []string{testPassword, testToken} {
		if strings.Contains(everything, secret) {
			t.Errorf("%q is in the image or its log", secret)
		}
	}
	if diff := cmp.Diff([]tasks.Stage{tasks.StagePush}, rep.Stages()); diff != "" {
		t.Error(diff)
	}
}

func TestBuildWithoutPush(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	req := request(t, registry, withShell(t, map[string]string{"Dockerfile": shell + "EXPOSE 80\nRUN echo it really ran\n"}))
	req.Push = false
	image, rep := mustBuild(t, req)
	want := tasks.Image{Name: registry.host + "/app", Tag: "v1", Ports: []tasks.Port{{Number: 80, Protocol: "tcp"}}, Platforms: here, Unresolved: "it was built and not pushed"}
	if diff := cmp.Diff(want, image); diff != "" {
		t.Error(diff)
	}
	if len(rep.Stages()) > 0 || !strings.Contains(rep.Log(), "it really ran") && !strings.Contains(rep.Log(), "CACHED") {
		t.Errorf("got stages %v and log %s", rep.Stages(), rep.Log())
	}
}

func TestContextAndDockerfileAreSeparate(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	files := map[string]string{
		"docker/web.Dockerfile": "FROM scratch\nCOPY . /src\n", "docker/web.Dockerfile.dockerignore": "ignored-by-web\n",
		"app/main": "main", "app/ignored": "i", "app/ignored-by-web": "i", "app/.dockerignore": "ignored\n!.git\n",
		"app/.git/config": "token", "app/Dockerfile": "FROM scratch\nCOPY . /src\n", "outside": "x",
		"app/link": "-> docker",
		"linked":   "-> docker/web.Dockerfile",
	}
	for name, tc := range map[string]struct {
		dockerfile string
		want       []string
	}{
		"the context's own":            {"", []string{"Dockerfile", "ignored-by-web", "link", "main"}},
		"another place's, own ignore":  {"docker/web.Dockerfile", []string{"Dockerfile", "ignored", "link", "main"}},
		"through a link of the source": {"/linked", []string{"Dockerfile", "ignored-by-web", "link", "main"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := request(t, registry, files)
			req.Context, req.Dockerfile = "app", tc.dockerfile
			image, _ := mustBuild(t, req)
			got := filesOf(t, pull(t, image))
			delete(got, "src/.dockerignore")
			want := map[string]string{}
			for _, file := range tc.want {
				want["src/"+file] = files["app/"+file]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLinksOutOfTheSourceShowNothing(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	req := request(t, registry, map[string]string{
		"Dockerfile": "FROM scratch\nCOPY . /src\n", "up": "-> ../host-secret", "hosts": "-> /etc/hosts", "dir": "-> /etc",
	})
	if err := os.WriteFile(filepath.Join(filepath.Dir(req.Dir), "host-secret"), []byte("secret of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	image, _ := mustBuild(t, req)
	want := map[string]string{
		"src/Dockerfile": "FROM scratch\nCOPY . /src\n", "src/up": "-> ../host-secret", "src/hosts": "-> /etc/hosts", "src/dir": "-> /etc",
	}
	if diff := cmp.Diff(want, filesOf(t, pull(t, image))); diff != "" {
		t.Error(diff)
	}
	for _, copied := range []string{"up", "hosts", "dir/hostname"} {
		req := request(t, registry, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY " + copied + " /copied\n", "up": "-> ../host-secret", "hosts": "-> /etc/hosts", "dir": "-> /etc",
		})
		_, err := daemon(t).Build(t.Context(), req, newRecorder())
		link, _, _ := strings.Cut(copied, "/")
		checkFailure(t, err, tasks.ReasonSourceInvalid, `"`+link+`", which the Dockerfile copies, leaves the source`)
	}
}

func TestSyntaxLinePullsNothing(t *testing.T) {
	t.Parallel()
	registry, foreign := newRegistry(t, nil), newRegistry(t, nil)
	frontend := foreign.host + "/evil/frontend:1"
	req := request(t, registry, map[string]string{"Dockerfile": "# syntax=" + frontend + "\nFROM scratch\nCOPY hello /\n", "hello": "hi"})
	req.BuildArgs = map[string]string{"BUILDKIT_SYNTAX": frontend}
	_, rep := mustBuild(t, req)
	if len(foreign.seen) > 0 {
		t.Errorf("the frontend's registry was asked %d times", len(foreign.seen))
	}
	if !strings.Contains(rep.Log(), "build arguments left out") || !strings.Contains(rep.Log(), "BUILDKIT_SYNTAX") {
		t.Errorf("the log does not say that the argument was left out:\n%s", rep.Log())
	}
}

func TestFailingRun(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	for name, tc := range map[string]struct {
		dockerfile string
		reason     tasks.Reason
		want       string
	}{
		"exit code": {shell + "RUN echo compiling >&2; echo 'a.c:1: error' >&2; exit 2\n", tasks.ReasonBuildFailed, `": exit code 2: compiling | a.c:1: error`},
		"killed":    {shell + "RUN echo Killed >&2; exit 137\n", tasks.ReasonBuildOOM, "out of memory (exit code 137)"},
		"disk":      {shell + "RUN echo 'write error: No space left on device' >&2; exit 1\n", tasks.ReasonDiskFull, "disk is full"},
		"missing":   {shell + "COPY nothing /\n", tasks.ReasonBuildFailed, `build failed at step "COPY nothing /": "/nothing": not found`},
		"mistake":   {shell + "RUNN x\n", tasks.ReasonBuildFailed, "Dockerfile:4: unknown instruction: RUNN"},
		"empty":     {"", tasks.ReasonBuildFailed, "the Dockerfile cannot be empty"},
		"forbidden": {shell + "RUN --security=insecure true\n", tasks.ReasonBuildFailed, "security.insecure is not allowed"},
		"host's":    {shell + "RUN --network=host true\n", tasks.ReasonBuildFailed, "network.host is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := daemon(t).Build(t.Context(), request(t, registry, withShell(t, map[string]string{"Dockerfile": tc.dockerfile})), newRecorder())
			checkFailure(t, err, tc.reason, tc.want)
		})
	}
}

func TestBaseImages(t *testing.T) {
	t.Parallel()
	private, open := newRegistry(t, basicAuth), newRegistry(t, nil)
	put(t, private.host+"/base:1", testImage(t, "base"), asTestUser())
	from := func(registry *testRegistry, base string) tasks.BuildRequest {
		return request(t, registry, map[string]string{"Dockerfile": "FROM " + base + "\nCOPY Dockerfile /\n"})
	}
	mustBuild(t, from(private, private.host+"/base:1"))

	for name, tc := range map[string]struct {
		base   string
		reason tasks.Reason
		want   string
	}{
		"missing":     {open.host + "/nope:1", tasks.ReasonImageNotFound, "nope:1 (Dockerfile:1): not found"},
		"private":     {private.host + "/base:1", tasks.ReasonRegistryAuth, "the registry wants credentials"},
		"limited":     {newRegistry(t, answer(http.StatusTooManyRequests, "TOOMANYREQUESTS")).host + "/x:1", tasks.ReasonRegistryLimited, "limits our requests"},
		"broken":      {newRegistry(t, answer(http.StatusBadGateway, "UNKNOWN")).host + "/x:1", tasks.ReasonRegistryDown, "status 502"},
		"unreachable": {"127.0.0.1:1/x:1", tasks.ReasonRegistryDown, "refuses the connection"},
	} {
		_, err := daemon(t).Build(t.Context(), from(open, tc.base), newRecorder())
		t.Run(name, func(t *testing.T) { checkFailure(t, err, tc.reason, "pull base image "+tc.base, tc.want) })
	}
	for _, header := range open.authorizations() {
		if strings.Contains(header, "Basic") {
			t.Errorf("the open registry was shown %q unasked", header)
		}
	}
}

func TestRefusedPush(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		host   string
		creds  tasks.Credentials
		reason tasks.Reason
		want   string
	}{
		"wrong password":         {newRegistry(t, basicAuth).host, badCredentials, tasks.ReasonRegistryAuth, "refused the credentials"},
		"no password":            {newRegistry(t, basicAuth).host, noCredentials, tasks.ReasonRegistryAuth, "wants credentials"},
		"wrong bearer password":  {newRegistry(t, bearerAuth).host, badCredentials, tasks.ReasonRegistryAuth, "refused the credentials"},
		"wrong bearer token":     {newRegistry(t, bearerAuth).host, tasks.Credentials{Token: "nonsense"}, tasks.ReasonRegistryAuth, "refused the credentials"},
		"forbidden":              {newRegistry(t, answer(http.StatusForbidden, "DENIED")).host, goodCredentials, tasks.ReasonRegistryAuth, "refused the credentials"},
		"limited":                {newRegistry(t, answer(http.StatusTooManyRequests, "TOOMANYREQUESTS")).host, goodCredentials, tasks.ReasonRegistryLimited, "limits our requests"},
		"not there":              {"127.0.0.1:1", goodCredentials, tasks.ReasonRegistryDown, "refuses the connection"},
		"broken, tried for long": {newRegistry(t, answer(http.StatusServiceUnavailable, "UNAVAILABLE")).host, goodCredentials, tasks.ReasonRegistryDown, "status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := request(t, &testRegistry{host: tc.host}, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
			req.Credentials = tc.creds
			_, err := daemon(t).Build(t.Context(), req, newRecorder())
			checkFailure(t, err, tc.reason, "push "+tc.host+"/app:v1: ", tc.want)
		})
	}
}

func TestListedRegistryIsPushedToWithoutTLS(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, basicAuth)
	registry.host = strings.Replace(registry.host, "127.0.0.1", "0.0.0.0", 1)
	req := request(t, registry, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	_, err := daemon(t).Build(t.Context(), req, newRecorder())
	checkFailure(t, err, tasks.ReasonRegistryDown, "TLS")
	listed := newClient(t, buildkit.Options{Address: daemonAddress(t), InsecureRegistries: []string{registry.host}})
	if image, err := listed.Build(t.Context(), req, newRecorder()); err != nil || image.Digest == "" {
		t.Errorf("got %+v, %v", image, err)
	}
}

// TestConcurrentBuildsKeepTheirCredentialsApart pushes to two registries at
// once, each with a user that the other one must never see.
func TestConcurrentBuildsKeepTheirCredentialsApart(t *testing.T) {
	t.Parallel()
	first, second := newRegistry(t, basicAuth), newRegistry(t, bearerAuth)
	var building sync.WaitGroup
	for i := range 8 {
		registry, creds := first, goodCredentials
		if i%2 == 1 {
			registry, creds = second, tasks.Credentials{Token: testToken}
		}
		req := request(t, registry, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
		req.Name, req.Credentials = fmt.Sprintf("%s/app%d", registry.host, i), creds
		building.Go(func() {
			if _, err := daemon(t).Build(t.Context(), req, newRecorder()); err != nil {
				t.Error(err)
			}
		})
	}
	building.Wait()
	for _, header := range first.authorizations() {
		if strings.Contains(header, testToken) {
			t.Errorf("the first registry saw %q", header)
		}
	}
	for _, header := range second.authorizations() {
		if strings.HasPrefix(header, "Basic") {
			t.Errorf("the second registry saw %q", header)
		}
	}
}

func TestCancelStopsTheRun(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	const marker = "3141592.6"
	req := request(t, registry, withShell(t, map[string]string{
		"Dockerfile": shell + "ARG NONCE\nRUN echo begun $NONCE; sleep " + marker + "\n",
	}))
	req.BuildArgs = map[string]string{"NONCE": fmt.Sprint(time.Now().UnixNano())}
	ctx, cancel := context.WithCancelCause(t.Context())
	rep := newRecorder()
	var stopped time.Time
	var stopping sync.WaitGroup
	stopping.Go(func() {
		rep.waitFor("begun " + req.BuildArgs["NONCE"])
		waitUntil(t, func() bool { return running(marker) })
		stopped = time.Now()
		cancel(tasks.ErrTimeout)
	})
	_, err := daemon(t).Build(ctx, req, rep)
	took := time.Since(stopped)
	stopping.Wait()
	if !errors.Is(err, tasks.ErrTimeout) {
		t.Errorf("got %v, want the context's cause\n%s", err, rep.Log())
	}
	if took > 2*time.Second {
		t.Errorf("the build returned %s after it was cancelled", took)
	}
	t.Logf("returned after %s", took)
	waitUntil(t, func() bool { return !running(marker) })
}

func TestCancelStopsAPushThatHangs(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	registry := newRegistry(t, func(*testRegistry, http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			asked <- struct{}{}
			<-req.Context().Done()
		})
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	var stopping sync.WaitGroup
	stopping.Go(func() { <-asked; cancel(tasks.ErrTimeout) })
	began := time.Now()
	rep := newRecorder()
	_, err := daemon(t).Build(ctx, request(t, registry, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}), rep)
	stopping.Wait()
	if !errors.Is(err, tasks.ErrTimeout) || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
	if diff := cmp.Diff([]tasks.Stage{tasks.StagePush}, rep.Stages()); diff != "" {
		t.Error(diff)
	}
}

// TestDaemonIsLostDuringABuild cuts and stalls the connection in the middle of a RUN.
func TestDaemonIsLostDuringABuild(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lose func(*line)
		want string
	}{
		"cut":     {(*line).cut, "went away during the build"},
		"stalled": {(*line).stall, "did not answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := newLine(t, daemonAddress(t))
			client := newClient(t, buildkit.Options{Address: line.address, AnswerTimeout: time.Second, WatchEvery: 500 * time.Millisecond})
			req := request(t, newRegistry(t, nil), withShell(t, map[string]string{
				"Dockerfile": shell + "ARG NONCE\nRUN echo begun $NONCE; sleep 60\n",
			}))
			req.BuildArgs = map[string]string{"NONCE": fmt.Sprint(time.Now().UnixNano())}
			rep := newRecorder()
			var losing sync.WaitGroup
			losing.Go(func() { rep.waitFor("begun " + req.BuildArgs["NONCE"]); tc.lose(line) })
			began := time.Now()
			_, err := client.Build(t.Context(), req, rep)
			losing.Wait()
			checkFailure(t, err, tasks.ReasonBuilderDown, tc.want)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestCancelDoesNotWaitForADaemonThatHangs: the solve would wait for the
// daemon's last words.
func TestCancelDoesNotWaitForADaemonThatHangs(t *testing.T) {
	t.Parallel()
	line := newLine(t, daemonAddress(t))
	req := request(t, newRegistry(t, nil), withShell(t, map[string]string{
		"Dockerfile": shell + "ARG NONCE\nRUN echo begun $NONCE; sleep 60\n",
	}))
	req.BuildArgs = map[string]string{"NONCE": fmt.Sprint(time.Now().UnixNano())}
	ctx, cancel := context.WithCancelCause(t.Context())
	rep := newRecorder()
	var stopped time.Time
	var stopping sync.WaitGroup
	stopping.Go(func() {
		rep.waitFor("begun " + req.BuildArgs["NONCE"])
		line.stall()
		stopped = time.Now()
		cancel(tasks.ErrCancelled)
	})
	_, err := newClient(t, buildkit.Options{Address: line.address}).Build(ctx, req, rep)
	took := time.Since(stopped)
	stopping.Wait()
	if !errors.Is(err, tasks.ErrCancelled) || took > 3*time.Second {
		t.Errorf("got %v after %s", err, took)
	}
}

func TestPingAnswers(t *testing.T) {
	t.Parallel()
	if err := daemon(t).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
