//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestMovedTagIsReallyDeployed pushes another image under the same tag: what
// runs after the second task is the new one.
func TestMovedTagIsReallyDeployed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	repository := pushHello(t, "moved", "stable", "HELLO_VERSION=one")
	k := image(t, "moved", repository, "stable")
	before := w.succeeded(w.send(k), patience)
	if got, want := answer(t, k.job()), "hello from one\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}

	pushHello(t, "moved", "stable", "HELLO_VERSION=two")
	s := w.send(k.again())
	after := w.succeeded(s, patience)
	if got, want := answer(t, k.job()), "hello from two\n"; got != want {
		t.Errorf("after the tag moved the app answers %q, want %q", got, want)
	}
	if before.Image == after.Image || jobImage(t, k.job()) != after.Image {
		t.Errorf("images: first %s, then %s, the job runs %s", before.Image, after.Image, jobImage(t, k.job()))
	}
	outcome := w.said(s, "deployment.succeeded")[0].body
	if want := `"type":"image"`; !strings.Contains(outcome, want) {
		t.Errorf("the outcome of an image task is %s, want %s in it", outcome, want)
	}
}

// TestImageThatDoesNotExist names what was asked for.
func TestImageThatDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	repository := pushHello(t, "absent", "there")
	r := w.failed(w.send(image(t, "absent", repository, "not-there")), patience, "image_not_found", "resolve")
	if !strings.Contains(r.Message, repository) || !strings.Contains(r.Message, "not-there") {
		t.Errorf("the failure says %q, want the image and its tag", r.Message)
	}
}

// TestImageThatOnlyNomadMayReadIsDeployedByItsTag: the worker has no
// credentials for the registry, Nomad's clients have.
func TestImageThatOnlyNomadMayReadIsDeployedByItsTag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{env: []string{"DISPATCHD_REGISTRY_HOST=registry.example"}})
	w.start()
	repository := pushHello(t, "by-tag", "1", "HELLO_VERSION=one")
	k := image(t, "by-tag", repository, "1")
	s := w.send(k)
	r := w.succeeded(s, patience)
	if got, want := jobImage(t, k.job()), repository+":1"; got != want || r.Image != want {
		t.Errorf("the job runs %q and the record says %q, want %q", got, r.Image, want)
	}
	wantAll(t, "the log", w.logText(s), "deployed by its tag with a forced pull", "without credentials")
	wantAll(t, "the header", w.said(s, "deployment.succeeded")[0].header.Get("Dispatch-Warning"), "forced pull")

	pushHello(t, "by-tag", "1", "HELLO_VERSION=two")
	w.succeeded(w.send(k.again()), patience)
	if got, want := answer(t, k.job()), "hello from two\n"; got != want {
		t.Errorf("after the tag moved the app answers %q, want %q", got, want)
	}
}

// pushHello pushes an image of the sample to the bed's registry and returns its
// repository's name.
func pushHello(t *testing.T, repository, tag string, env ...string) string {
	t.Helper()
	full := shared.bed.Registry.Addr() + "/images/" + repository
	target, err := name.NewTag(full + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(target, helloImage(t, env...), registryLogin(), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return full
}

func registryLogin() remote.Option {
	login := shared.bed.Login
	return remote.WithAuth(&authn.Basic{Username: login.Username, Password: login.Password})
}

// helloImage is the sample's program alone.
func helloImage(t *testing.T, env ...string) v1.Image {
	t.Helper()
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	if err := archive.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(shared.hello))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(shared.hello); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Env: env, Entrypoint: []string{"/hello"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}
