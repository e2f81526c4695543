//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// nixpacks installs a program that does what nixpacks 1.39.0 does with our
// arguments, with an image that can be had here as its base.
func nixpacks(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nixpacks")
	script := `#!/bin/sh
case $1 in
--version) echo "nixpacks 1.39.0" ;;
plan) echo '{"variables":{"CI":"true"},"phases":{"build":{}}}' ;;
build)
for argument; do case $argument in
--out=*) OUT=${argument#--out=} ;;
--start-cmd=*) START=${argument#--start-cmd=} ;;
esac; done
mkdir -p "$OUT/.nixpacks" && cat >"$OUT/.nixpacks/Dockerfile" <<END
FROM ` + shared.base + `

ENTRYPOINT ["/bin/sh", "-c"]
WORKDIR /app/
ARG CI
ENV CI=\$CI
COPY . /app/.
RUN --mount=type=cache,id=app-cache,target=/cache echo "built with CI=\$CI"
COPY --chmod=755 . /app
CMD ["$START"]
END
;;
esac
`
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutDockerfile is the sample, to be built by whoever knows how.
func withoutDockerfile(t *testing.T) map[string]string {
	t.Helper()
	files := sample(t, testbed.Sample{})
	delete(files, "Dockerfile")
	return files
}

// TestARepositoryWithoutADockerfileIsBuiltByNixpacks: the builder is detected,
// and the job's exports do not replace the image's own start command.
func TestARepositoryWithoutADockerfileIsBuiltByNixpacks(t *testing.T) {
	t.Parallel()
	source := newSource(t, withoutDockerfile(t))
	w := newWorld(t, worldOptions{env: []string{github(source), "DISPATCHD_NIXPACKS=" + nixpacks(t)}})
	w.start()
	k := repository(t, "planned", "acme/app").with(params{
		"build":              params{"startCommand": "exec /app/hello"},
		"vaultLinkedSecrets": []params{{"secret": "HELLO_VERSION", "template": "linked"}},
	})
	s := w.send(k)
	r := w.succeeded(s, patience)
	if got, want := answer(t, k.job()), "hello from linked\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
	wantDigest(t, k.job(), r)
	wantAll(t, "the log", w.logText(s), "builder: nixpacks, because there is no Dockerfile", "with the plan of nixpacks 1.39.0", "built with CI=true")
	wantEmptyWorkDir(t, w)
}

// TestAWorkerWithoutNixpacksSaysWhatIsMissing, and does everything else.
func TestAWorkerWithoutNixpacksSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	source := newSource(t, withoutDockerfile(t))
	w := newWorld(t, worldOptions{env: []string{github(source), "DISPATCHD_NIXPACKS=/no/such/nixpacks"}})
	w.start()
	r := w.failed(w.send(repository(t, "unplanned", "acme/app").with(params{"build": params{}})), patience, "builder_missing", "build")
	wantAll(t, "the failure", r.Message, "nixpacks is not installed: install version 1.30.0 or newer", "DISPATCHD_NIXPACKS")
}

// TestAnImageThatIsNotPushedRunsOutOfTheDockerDaemon: no registry has it.
func TestAnImageThatIsNotPushedRunsOutOfTheDockerDaemon(t *testing.T) {
	t.Parallel()
	source := newSource(t, sample(t, testbed.Sample{Version: "unpushed"}))
	w := newWorld(t, worldOptions{env: []string{github(source), "DOCKER_HOST=" + shared.bed.Docker.Addr()}})
	w.start()
	k := repository(t, "unpushed", "acme/app").with(params{"build": params{"builder": "csdocker", "disablePush": true}})
	s := w.send(k)
	r := w.succeeded(s, patience)
	if got, want := answer(t, k.job()), "hello from unpushed\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
	if jobImage(t, k.job()) != r.Image || !strings.Contains(r.Image, ":build-") {
		t.Errorf("the job runs %q and the record says %q, want the tag of the loaded image", jobImage(t, k.job()), r.Image)
	}
	wantAll(t, "the log", w.logText(s), "not pushed: loaded into the Docker daemon as "+r.Image)
}

// TestAnImageForOtherMachinesIsRefused before Nomad hears of it.
func TestAnImageForOtherMachinesIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	foreign, err := mutate.ConfigFile(helloImage(t), &v1.ConfigFile{OS: "linux", Architecture: "s390x"})
	if err != nil {
		t.Fatal(err)
	}
	full, err := shared.bed.PushImage(t.Context(), "images/foreign", "1", foreign)
	if err != nil {
		t.Fatal(err)
	}
	k := image(t, "foreign", strings.TrimSuffix(full, ":1"), "1")
	r := w.failed(w.send(k), patience, "image_platform", "render")
	wantAll(t, "the failure", r.Message, "is for linux/s390x; the cluster's nodes are linux/")
	if _, _, err := shared.nomad.Jobs().Info(k.job(), nil); err == nil {
		t.Error("the job was registered all the same")
	}
}
