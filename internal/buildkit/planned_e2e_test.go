//go:build e2e

package buildkit_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	// What the frontend in testdata is built from: go mod tidy does not look there.
	_ "github.com/moby/buildkit/client/llb"
	_ "github.com/moby/buildkit/frontend/gateway/grpcclient"
)

// standIn installs a program that says its version, records its arguments in
// <its path>.args, and then runs the script with $OUT set.
func standIn(t testing.TB, version, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	text := fmt.Sprintf(`#!/bin/sh
if [ "$1" = --version ]; then echo "%s"; exit; fi
for argument; do
printf '%%s\n' "$argument" >>"%s.args"
case $argument in
--out=*) OUT=${argument#--out=} ;;
--plan-out=*) OUT=${argument#--plan-out=} ;;
esac; done
%s
`, version, path, script)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// nixpacks stands in for nixpacks 1.39.0: the Dockerfile has the form that it
// writes, with what can be run without its base image.
func nixpacks(t testing.TB, run string) string {
	t.Helper()
	return standIn(t, "nixpacks 1.39.0", `case $1 in
plan) echo '{"variables":{"CI":"true","NONCE":"`+nonce()+`","API_KEY":"from nixpacks.toml","BUILDKIT_SYNTAX":"evil/x"}}' ;;
build) mkdir -p "$OUT/.nixpacks/assets" && echo asset >"$OUT/.nixpacks/assets/file" && echo nix >"$OUT/.nixpacks/x.nix" &&
cat >"$OUT/.nixpacks/Dockerfile" <<'END'
FROM scratch

ENTRYPOINT ["/bin/sh", "-c"]
WORKDIR /app/

COPY --chmod=755 busybox /bin/sh
COPY --chmod=755 busybox /bin/sha256sum
COPY .nixpacks/x.nix .nixpacks/x.nix
COPY .nixpacks/assets /assets/
ARG API_KEY BUILDKIT_SYNTAX CI NONCE S_000 S_001
ENV API_KEY=$API_KEY S_000=$S_000 S_001=$S_001 BUILDKIT_SYNTAX=$BUILDKIT_SYNTAX CI=$CI NONCE=$NONCE

# build phase
COPY . /app/.
RUN --mount=type=cache,id=app-cache,target=/cache `+run+`

# start
COPY . /app
CMD ["run the app"]
END
esac`)
}

// railpack stands in for railpack 0.37.0.
func railpack(t testing.TB, run string) string {
	t.Helper()
	return standIn(t, "railpack version 0.37.0", `cat >"$OUT" <<'END'
{"steps":[{"name":"build","commands":[{"cmd":"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(run)+`"}],"secrets":["*"]}],"secrets":["NONCE"],"deploy":{"startCommand":"run the app"}}
END`)
}

// nonce keeps a step out of the daemon's cache.
func nonce() string { return fmt.Sprint(time.Now().UnixNano()) }

// frontendImage builds the frontend that stands in for railpack's, and pushes
// it as an image.
func frontendImage(t testing.TB, registry *testRegistry) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "frontend")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", binary, "./testdata/frontend")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.WriteHeader(&tar.Header{Name: "frontend", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	_, _ = writer.Write(program)
	_ = writer.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Config: v1.Config{Entrypoint: []string{"/frontend"}}, RootFS: v1.RootFS{Type: "layers"},
	})
	if err == nil {
		image, err = mutate.AppendLayers(image, layer)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := registry.host + "/railpack-frontend:v0.37.0"
	put(t, name, image)
	return name
}

// planning is a client with a planner of the options.
func planning(t testing.TB, options planner.Options) *buildkit.Client {
	t.Helper()
	return newClient(t, buildkit.Options{Address: daemonAddress(t), Planner: planner.New(options)})
}

// plannedRequest asks for a planned build of a source that can run a shell.
func plannedRequest(t testing.TB, registry *testRegistry, builder string) tasks.BuildRequest {
	t.Helper()
	req := request(t, registry, withShell(t, map[string]string{
		"main.txt": "the app", ".nixpacks/x.nix": "of the repository", ".dockerignore": ".nixpacks\nignored\n", "ignored": "x",
	}))
	req.Builder, req.Scratch = builder, t.TempDir()
	return req
}

func TestNixpacksBuild(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	req := plannedRequest(t, registry, tasks.BuilderNixpacks)
	req.Secrets = map[string]tasks.Secret{"API_KEY": "secret-of-the-build", "not-a-name": "another-secret"}
	req.BuildArgs = map[string]string{"MODE": "production", "API_KEY": "no"}
	program := nixpacks(t, `echo "$API_KEY" | sha256sum >/sum; echo "mode $CI, key $API_KEY, syntax $BUILDKIT_SYNTAX"`)
	rep := newRecorder()
	image, err := planning(t, planner.Options{Nixpacks: program}).Build(t.Context(), req, rep)
	if err != nil {
		t.Fatalf("%v\n%s", err, rep.Log())
	}
	files := filesOf(t, pull(t, image))
	for name, want := range map[string]string{
		"app/main.txt": "the app", "app/.nixpacks/x.nix": "nix\n", "assets/file": "asset\n", "sum": sumOf("secret-of-the-build\n"),
	} {
		if files[name] != want {
			t.Errorf("file %s is %q, want %q", name, files[name], want)
		}
	}
	if _, there := files["app/ignored"]; there {
		t.Error(".dockerignore was not obeyed")
	}
	for _, want := range []string{
		"building " + req.Name + ":v1 with the plan of nixpacks 1.39.0, context .", "mode true, key ***, syntax \n",
		"build arguments left out, because the build has secrets with their names: API_KEY",
		"secrets left out, because their names cannot be those of environment variables: not-a-name",
	} {
		if !strings.Contains(rep.Log(), want) {
			t.Errorf("the log does not say %q:\n%s", want, rep.Log())
		}
	}
	if diff := cmp.Diff([]string{"/bin/sh", "-c", "run the app"}, image.Command); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"linux/" + runtime.GOARCH}, image.Platforms); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(req.Scratch); err != nil || len(left) > 0 {
		t.Errorf("the plan was left behind: %v %v", left, err)
	}
	config, err := pull(t, image).RawConfigFile()
	if err != nil || strings.Contains(string(config), "evil") || strings.Contains(string(config), "from nixpacks.toml") || strings.Contains(string(config), "secret-of") {
		t.Errorf("the config holds what was left out: %s %v", config, err)
	}
}

func TestRailpackBuild(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	frontend := frontendImage(t, registry)
	client := planning(t, planner.Options{
		Railpack: railpack(t, `echo "$API_KEY" | sha256sum >/sum; echo "nonce $NONCE" >/nonce; echo x >>/cache/count; while read -r line; do echo $line; done </cache/count >/count`), RailpackFrontend: frontend,
	})
	req := plannedRequest(t, registry, tasks.BuilderRailpack)
	req.BuildArgs = map[string]string{"NONCE": nonce()}
	var images []tasks.Image
	for _, secret := range []tasks.Secret{"first-secret", "second-secret"} {
		req.Secrets = map[string]tasks.Secret{"API_KEY": secret}
		rep := newRecorder()
		image, err := client.Build(t.Context(), req, rep)
		if err != nil {
			t.Fatalf("%v\n%s", err, rep.Log())
		}
		files := filesOf(t, pull(t, image))
		if files["sum"] != sumOf(secret.Reveal()+"\n") || files["nonce"] != "nonce "+req.BuildArgs["NONCE"]+"\n" {
			t.Errorf("got %q and %q: a secret did not reach the step, or a changed one did not", files["sum"], files["nonce"])
		}
		images = append(images, image)
	}
	want := tasks.Image{
		Name: req.Name, Tag: "v1", Digest: images[0].Digest, Ports: []tasks.Port{{Number: 4000, Protocol: "tcp"}},
		Platforms: []string{"linux/" + runtime.GOARCH}, Command: []string{"/bin/sh", "-c", "run the app"},
	}
	if diff := cmp.Diff(want, images[0]); diff != "" {
		t.Error(diff)
	}
	if got := strings.Count(filesOf(t, pull(t, images[1]))["count"], "x"); got != 2 {
		t.Errorf("the second build of the app saw %d builds in its cache mount, want 2", got)
	}
	other := req
	other.Name += "-other"
	image, err := client.Build(t.Context(), other, newRecorder())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(filesOf(t, pull(t, image))["count"], "x"); got != 1 {
		t.Errorf("another app saw %d builds in its cache mount, want its own alone", got)
	}
}

// TestCacheMountsAreOfOneApp: nixpacks' ids are the same for every app.
func TestCacheMountsAreOfOneApp(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	counts := map[string]int{}
	for _, app := range []string{"one", "two", "one"} {
		req := plannedRequest(t, registry, tasks.BuilderNixpacks)
		req.Name += nonce()[:8] + "-" + app
		client := planning(t, planner.Options{Nixpacks: nixpacks(t, `echo x >>/cache/count; while read -r line; do echo $line; done </cache/count >/count`)})
		image, err := client.Build(t.Context(), req, newRecorder())
		if err != nil {
			t.Fatal(err)
		}
		counts[app] = strings.Count(filesOf(t, pull(t, image))["count"], "x")
	}
	if diff := cmp.Diff(map[string]int{"one": 2, "two": 1}, counts); diff != "" {
		t.Error(diff)
	}
}

func TestPlannedBuildsThatFail(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	limited := newRegistry(t, answer(http.StatusTooManyRequests, "TOOMANYREQUESTS"))
	for name, tc := range map[string]struct {
		builder string
		options planner.Options
		change  func(*tasks.BuildRequest)
		reason  tasks.Reason
		want    string
	}{
		"no program":        {tasks.BuilderNixpacks, planner.Options{Nixpacks: "no-such-program"}, nil, tasks.ReasonBuilderMissing, "nixpacks is not installed"},
		"no such directory": {tasks.BuilderNixpacks, planner.Options{Nixpacks: "no-such-program"}, func(r *tasks.BuildRequest) { r.Context = "nope" }, tasks.ReasonSourceInvalid, `root directory "nope" not found`},
		"a step fails": {
			tasks.BuilderNixpacks,
			planner.Options{Nixpacks: nixpacks(t, `echo "with $API_KEY" >&2; exit 3`)},
			nil,
			tasks.ReasonBuildFailed, `exit code 3: with ***`,
		},
		"a frontend that is not there": {
			tasks.BuilderRailpack,
			planner.Options{Railpack: railpack(t, "true"), RailpackFrontend: registry.host + "/none:v1"},
			nil,
			tasks.ReasonImageNotFound, registry.host + "/none:v1",
		},
		"a frontend behind a limit": {
			tasks.BuilderRailpack,
			planner.Options{Railpack: railpack(t, "true"), RailpackFrontend: limited.host + "/none:v1"},
			nil,
			tasks.ReasonRegistryLimited, "registry " + limited.host + " limits our requests",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := plannedRequest(t, registry, tc.builder)
			req.Secrets = map[string]tasks.Secret{"API_KEY": "secret-of-the-build"}
			if tc.change != nil {
				tc.change(&req)
			}
			rep := newRecorder()
			_, err := planning(t, tc.options).Build(t.Context(), req, rep)
			checkFailure(t, err, tc.reason, tc.want)
			if strings.Contains(err.Error()+rep.Log(), "secret-of-the-build") {
				t.Errorf("a secret stands in the error or the log: %v\n%s", err, rep.Log())
			}
			if left, err := os.ReadDir(req.Scratch); err != nil || len(left) > 0 {
				t.Errorf("the plan was left behind: %v %v", left, err)
			}
		})
	}
}
